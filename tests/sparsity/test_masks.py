"""From scores to masks: how many are kept, and which."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo
import samplers
from compaction_models import INIT
from neat_optax._leaves import by_path, kernels
from neat_optax.sparsity import apply_mask, blocks, make_mask, units
from neat_optax.sparsity._division import count_kept
from neat_optax.sparsity._masks import combine

SHAPES = {"a": {"w": (6, 4), "bias": (5,)}, "b": (3, 2, 4), "c": (9, 1)}
RAMP = optax.linear_schedule(0.0, 0.8, 10)


def kept(size, sparsity):
    return int(count_kept([size], [sparsity]))


def random_params(seed):
    """Two digits, so that some sizes are equal."""
    rng = np.random.default_rng(seed)
    draw = lambda shape: rng.normal(size=shape).round(1).astype("f4")  # noqa: E731
    return jax.tree.map(draw, SHAPES, is_leaf=lambda x: isinstance(x, tuple))


def largest(arrays, count):
    """Masks of the largest sizes, later ones first among equals, by a stable sort."""
    flat = np.concatenate([np.abs(np.asarray(a, np.float64)).ravel() for a in arrays])
    mask = np.zeros(flat.size, bool)
    mask[np.argsort(flat, kind="stable")[flat.size - count :]] = True
    parts = np.split(mask, np.cumsum([a.size for a in arrays])[:-1])
    return [part.reshape(a.shape) for part, a in zip(parts, arrays, strict=True)]


def assert_masks(found, expected):
    for mask, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mask, want)


ALTERNATING = [(2, 3), (4, 2), (2, 3), (1, 2), (4, 2), (2, 3)]
HALVED = {
    scope: jax.jit(functools.partial(make_mask, sparsity=0.5, scope=scope))
    for scope in (neo.whole_tree, neo.per_leaf)
}


@given(seed=samplers.seeds)
def test_arrays_of_one_shape_are_ordered_as_those_of_several(seed):
    """Ties go across arrays whose shapes alternate; the later ones are kept."""
    rng = np.random.default_rng(seed)
    params = [rng.integers(1, 4, size=shape).astype("f4") for shape in ALTERNATING]
    assert_masks(HALVED[neo.whole_tree](params), largest(params, 18))
    each = [largest([one], one.size // 2)[0] for one in params]
    assert_masks(HALVED[neo.per_leaf](params), each)


@given(seed=samplers.seeds, sparsity=st.integers(0, 19).map(lambda n: n / 20))
def test_each_leaf_by_itself_and_all_together(seed, sparsity):
    params = random_params(seed)
    kernels = [params["a"]["w"], params["b"], params["c"]]
    for number in (float, jnp.float32):
        mask = make_mask(params, number(sparsity))
        expected = [largest([k], kept(k.size, sparsity))[0] for k in kernels]
        assert np.all(np.asarray(mask["a"]["bias"]))
        assert_masks([mask["a"]["w"], mask["b"], mask["c"]], expected)
        mask = make_mask(params, number(sparsity), scope=neo.whole_tree)
        expected = largest(kernels, kept(57, sparsity))
        assert np.all(np.asarray(mask["a"]["bias"]))
        assert_masks([mask["a"]["w"], mask["b"], mask["c"]], expected)


def test_labels_share_a_threshold():
    params = random_params(0)
    scope = neo.by_label({"a": "x", "b": "y", "c": "x"})
    mask = make_mask(params, 0.5, scope=scope)
    w, c = largest([params["a"]["w"], params["c"]], 16)
    assert_masks([mask["a"]["w"], mask["c"]], [w, c])
    assert_masks([mask["b"]], largest([params["b"]], 12))


def test_all_options_together():
    """Input rows of the two kernels, of 9 the 4 with the largest mean of sin w."""
    params = random_params(1)
    options = {
        "score": jnp.sin,
        "scope": neo.whole_tree,
        "allocation": neo.sparsity.erdos_renyi_kernel,
        "granularity": units(0),
        "mask": by_path(lambda path, leaf: path in ("a/w", "b") and leaf.ndim > 1),
    }
    mask = make_mask(params, 0.5, **options)
    rows = [np.sin(np.asarray(params["a"]["w"])).mean(1)]
    rows += [np.sin(np.asarray(params["b"])).mean((1, 2))]
    threshold = np.sort(np.concatenate(rows))[-4]
    mask = jax.device_get(mask)
    assert_masks(
        [mask["a"]["w"][:, 0], mask["b"][:, 0, 0]], [r >= threshold for r in rows]
    )
    assert mask["c"].all()
    assert (mask["b"] == mask["b"][:, :1, :1]).all()


def test_a_mask_by_path_sees_paths_and_arrays_of_their_own_dtypes():
    params = {"x": np.ones((4, 4), "f4"), "y": {"z": np.ones((4, 4), jnp.bfloat16)}}
    for chosen, sparsity, counts in (
        (by_path(lambda path, _: path == "y/z"), 0.5, [16, 8]),
        (by_path(lambda _, leaf: leaf.dtype == jnp.float32), jnp.float32(0.5), [8, 16]),
        (None, 0.5, [8, 8]),
    ):
        mask = make_mask(params, sparsity, mask=chosen)
        assert [np.asarray(m).sum() for m in jax.tree.leaves(mask)] == counts
    message = r"^`mask` must choose at least one array, got none of x, y/z\.$"
    with pytest.raises(ValueError, match=message):
        make_mask(params, 0.5, mask=by_path(lambda *_: False))
    assert [kernels(np.ones(s)) for s in ((), (3,), (1, 1))] == [0, 0, 1]


def test_without_arrays_to_prune():
    assert make_mask({}, 0.5) == {}
    assert make_mask(np.zeros(3, np.float32), 0.5).tolist() == [True] * 3


def test_nan_is_never_pruned():
    w = np.float32([[np.nan, 5.0, 4.0, np.nan], [3.0, 2.0, 1.0, 0.0]])
    assert np.flatnonzero(make_mask(w, 0.75)).tolist() == [0, 3]
    mask = make_mask(w, 0.75, granularity=blocks(2))
    assert np.flatnonzero(mask).tolist() == [2, 3]


def test_under_jit_with_a_traced_sparsity():
    params = random_params(2)
    masks = jax.jit(lambda p, s: make_mask(p, s))(params, 0.5)
    for mask, want in zip(
        *map(jax.tree.leaves, (masks, make_mask(params, 0.5))), strict=True
    ):
        np.testing.assert_array_equal(mask, want)


@pytest.mark.parametrize(
    "axis_type",
    [AxisType.Explicit, pytest.param(AxisType.Auto, marks=pytest.mark.slow)],
    ids=str,
)
def test_a_sharded_tree_is_pruned_where_it_is(axis_type):
    params = {"w": np.random.default_rng(0).normal(size=(16, 5)), "v": np.ones((2, 2))}
    params = jax.tree.map(np.float32, params)
    expected = make_mask(params, 0.6, scope=neo.whole_tree)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    places = {"w": NamedSharding(mesh, P("data")), "v": NamedSharding(mesh, P())}
    with jax.set_mesh(mesh):
        placed = jax.device_put(params, places)
        mask = make_mask(placed, jnp.float32(0.6), scope=neo.whole_tree)
        kept_part = apply_mask(placed, mask)
        for name in params:
            np.testing.assert_array_equal(mask[name], expected[name])
            for tree in (mask, kept_part):
                assert tree[name].sharding.is_equivalent_to(places[name], 2)


def test_apply_mask_leaves_exact_zeros_whatever_stood_there():
    some = np.array([True, False])
    tree = {"w": np.float32([np.nan, np.inf, -2, -np.inf, 3]), "n": np.arange(2)}
    mask = {"w": np.array([0, 0, 0, 1, 1], bool), "n": some}
    found = jax.device_get(jax.jit(apply_mask)(tree, mask))
    assert found["w"].tolist() == [0.0, 0.0, 0.0, -np.inf, 3.0]
    assert not np.signbit(found["w"][:3]).any()
    assert (found["n"].tolist(), found["n"].dtype) == ([0, 0], jnp.int32)
    half = jax.jit(apply_mask)(np.ones(2, jnp.bfloat16), some)
    assert (half.tolist(), half.dtype) == ([1.0, 0.0], jnp.bfloat16)


def test_an_update_of_low_precision_leaves_exact_zeros():
    """-0.1 in bfloat16 is -0.10009765625."""
    w, mask = np.float32([0.1, 2.0]), np.array([False, True])
    update = np.full(2, 0.5, jnp.bfloat16)
    moved = jax.jit(lambda u: optax.apply_updates(w, combine(u, w, mask)))(update)
    assert moved.tolist() == [0.0, 2.5]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            {"v": np.ones(3, bool)},
            r"have the tree structure of `tree`, got no array at \['w'\]\.$",
        ),
        (
            {"w": np.ones(2, bool)},
            r"have the shapes of `tree`, got \(2,\) for \(3,\) at \['w'\]\.$",
        ),
        ({"w": np.ones(3, "f4")}, r"have boolean leaves, got float32 at \['w'\]\.$"),
    ],
    ids=["structure", "shape", "dtype"],
)
def test_masks_that_do_not_fit(mask, message):
    with pytest.raises(ValueError, match=rf"^`mask` must {message}"):
        apply_mask({"w": np.ones(3, "f4")}, mask)


NUMBER = "`sparsity` must be a number in [0, 1)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1}, "`sparsity` must be in [0, 1), got 1."),
        ({"sparsity": -0.1}, "`sparsity` must be in [0, 1), got -0.1."),
        ({"sparsity": np.nan}, "`sparsity` must be in [0, 1), got nan."),
        ({"sparsity": "x"}, f"{NUMBER} or a schedule, got 'x'."),
        ({"sparsity": True}, f"{NUMBER} or a schedule, got True."),
        ({"mask": "kernel"}, "`mask` must hold True or False, got 'kernel'."),
        ({"scope": "tree"}, "`scope` must be of type Scope, got 'tree'."),
        (
            {"params": [np.arange(3, dtype="i4")]},
            "`params` must have floating or complex leaves, got int32 at [0]; leave "
            "other leaves out with optax.masked.",
        ),
    ],
    ids=str,
)
def test_bad_input(options, message):
    options = {"params": np.ones((2, 2), "f4"), "sparsity": 0.5, **options}
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        make_mask(**options)


def test_a_schedule_has_no_step_here():
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{NUMBER}, got {RAMP!r}.')}$"):
        make_mask(np.ones((2, 2), "f4"), RAMP)


def test_paths_of_an_nnx_state_are_those_of_its_dictionary():
    state = nnx.state(nnx.Linear(4, 2, **INIT), nnx.Param)
    seen = []
    for tree in (state, nnx.as_pure(state)):

        def rule(path, _):
            seen.append(path)
            return path == "kernel"

        mask = make_mask(tree, 0.5, mask=by_path(rule))
        assert [np.asarray(m).sum() for m in jax.tree.leaves(mask)] == [2, 4]
    assert set(seen) == {"kernel", "bias"}


def test_an_allocation_outside_its_range_is_refused():
    message = r"^`allocation` must be in \[0, 1\], got 1\.5\.$"
    with pytest.raises(ValueError, match=message):
        make_mask(np.ones((2, 2), "f4"), 0.5, allocation=lambda *_: [1.5])
