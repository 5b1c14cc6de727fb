"""Pruning on a schedule, last in a chain."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import samplers
from neat_optax import by_path
from running import run

SHAPES = {"kernel": (10, 8), "bias": (8,)}
HALF = neo.sparsity.prune_to_sparsity(0.5)


def params_of(seed):
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=s).astype("f4") for k, s in SHAPES.items()}


def with_a_convolution(seed):
    conv = np.random.default_rng(seed + 100).normal(size=(3, 3, 2, 4))
    return {**params_of(seed), "conv": conv.astype("f4")}


def train(tx, params, steps):
    """The parameters after each step of a run on random gradients."""
    grads = [params_of(step + 1) for step in range(steps)]
    return run(tx, jax.tree.map(lambda *g: np.stack(g), *grads), params)[1]


def zeros(params):
    """How many, after each step."""
    return {k: np.sum(p == 0, axis=tuple(range(1, p.ndim))) for k, p in params.items()}


def mask_of(tx, params):
    """The mask that one step gives."""
    first = jax.jit(lambda p: tx.update(p, tx.init(p), p)[1].mask)
    return jax.tree.map(np.asarray, first(params))


def test_by_hand():
    w = np.float32([[3.0, -1.0], [0.5, 2.0]])
    updates, _, state = run(HALF, np.full((1, 2, 2), 0.25, "f4"), w)
    assert updates.tolist() == [[[0.25, 1.0], [-0.5, 0.25]]]
    assert state.mask.tolist() == [[True, False], [False, True]]
    assert (int(state.step), float(state.target)) == (1, 0.5)


def test_every_step_counts_exactly_what_the_schedule_asks_for():
    schedule = optax.polynomial_schedule(0.0, 0.9, 3, 8, 2)
    tx = optax.chain(optax.sgd(0.1), neo.sparsity.prune_to_sparsity(schedule))
    found = zeros(train(tx, params_of(0), 14))
    shares = 0.9 * (1 - (1 - np.clip((np.arange(14) - 2) / 8, 0, 1)) ** 3)
    kept = np.maximum(1, np.floor(80 * (1 - shares) + 1e-4))
    np.testing.assert_array_equal(found["kernel"], 80 - kept)
    assert not found["bias"].any()


OPTIMIZERS = {
    "momentum": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "decay": optax.adamw(0.1, weight_decay=0.1),
    "lookahead": neo.keep_slow_params(optax.sgd(0.1, momentum=0.9), period=2),
    "noise": optax.noisy_sgd(0.1, key=jax.random.key(0)),
    "neat": neo.keep_slow_params(
        optax.chain(
            neo.scale_by_neat(),
            optax.scale_by_sign(),
            optax.scale_by_learning_rate(0.1),
        ),
        period=2,
    ),
    "polyak": optax.chain(optax.trace(0.99), optax.scale(-1.0)),
}


FAST = ("decay", "lookahead")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in OPTIMIZERS],
)
def test_nothing_revives_a_pruned_weight(name):
    """In any precision: all three in one tree, and so in one run."""
    prune = neo.sparsity.prune_to_sparsity(
        optax.linear_schedule(0.1, 0.8, 6), every=2, scope=neo.whole_tree
    )
    tx = optax.chain(OPTIMIZERS[name], prune)
    rng, dtypes = np.random.default_rng(0), ("float32", "bfloat16", "float16")
    params = {d: rng.normal(size=(10, 8)).astype(d) for d in dtypes}
    grads = {d: rng.normal(size=(10, 10, 8)).astype(d) for d in dtypes}
    after = run(tx, grads, params)[1]
    for dtype in dtypes:
        assert after[dtype].dtype == dtype
        pruned = after[dtype] == 0
        assert np.all(pruned[1:] >= pruned[:-1])
    assert sum(np.sum(after[dtype][-1] == 0) for dtype in dtypes) == 192


def test_a_falling_schedule_restores_nothing():
    tx = neo.sparsity.prune_to_sparsity(lambda step: jnp.where(step == 1, 0.5, 0.25))
    found = zeros(train(tx, params_of(0), 4))["kernel"]
    assert found.tolist() == [20, 40, 40, 40]


def test_begin_every_and_end():
    schedule = optax.linear_schedule(0.0, 1.0, 20)
    tx = neo.sparsity.prune_to_sparsity(schedule, begin=2, every=3, end=8)
    kept = 80 - zeros(train(tx, params_of(0), 12))["kernel"]
    assert kept.tolist() == [80, 80, 72, 72, 72, 60, 60, 60, 48, 48, 48, 48]


def test_scores_are_those_of_the_parameters_before_the_step():
    """There the gradient was taken, and nothing has to be stored in between."""
    _, after, _ = run(HALF, np.float32([[[5.0, -1.5]]]), np.float32([[1.0, 2.0]]))
    assert after.tolist() == [[[0.0, 0.5]]]


def test_one_threshold_for_the_whole_tree():
    tx = neo.sparsity.prune_to_sparsity(0.75, scope=neo.whole_tree)
    params = with_a_convolution(3)
    mask = mask_of(tx, params)
    sizes = [np.abs(np.asarray(params[k])).ravel() for k in ("kernel", "conv")]
    threshold = np.sort(np.concatenate(sizes))[-38]
    for key in ("kernel", "conv"):
        expected = np.abs(np.asarray(params[key])) >= threshold
        np.testing.assert_array_equal(mask[key], expected)


def test_erdos_renyi_and_units_together():
    tx = neo.sparsity.prune_to_sparsity(
        0.5,
        allocation=neo.sparsity.erdos_renyi_kernel,
        granularity=neo.sparsity.units(-1),
        mask=by_path(lambda path, leaf: path == "kernel" and leaf.ndim == 2),
    )
    params = with_a_convolution(4)
    mask = mask_of(tx, params)
    means = np.abs(np.asarray(params["kernel"])).mean(axis=0)
    expected = np.broadcast_to(means >= np.sort(means)[-4], (10, 8))
    np.testing.assert_array_equal(mask["kernel"], expected)
    assert mask["conv"].all()


def test_movement_prunes_what_shrinks():
    """Both weights are far from zero; one moves towards it."""
    tx = neo.pass_gradient(
        optax.chain(
            optax.sgd(0.1),
            neo.sparsity.prune_to_sparsity(0.5, score=neo.sparsity.movement),
        )
    )
    _, after, _ = run(tx, np.float32([[[1.0, -1.0]]]), np.float32([[5.0, 0.1]]))
    assert (after != 0).tolist() == [[[False, True]]]


def test_saliency_without_a_gradient_is_an_error():
    tx = neo.sparsity.prune_to_sparsity(0.5, score=neo.sparsity.saliency)
    w = np.ones((2, 2), np.float32)
    with pytest.raises(
        ValueError,
        match=r"(?m)^`grad` must be passed to update for the score saliency, got None; "
        r"wrap the chain in pass_gradient\.$",
    ):
        jax.eval_shape(lambda w: tx.update(w, tx.init(w), w), w)


@given(seed=samplers.seeds, sparsity=st.floats(0, 0.999))
def test_kept_weights_get_their_update_and_others_land_on_zero(seed, sparsity):
    w, u = np.random.default_rng(seed).normal(size=(2, 6, 5)).astype("f4")
    after, kept = map(np.asarray, pruned_once(w, u, np.float32(sparsity)))
    np.testing.assert_array_equal(after, np.where(kept, w + u, 0))
    sizes = np.abs(w)
    assert sizes[kept].min() >= sizes[~kept].max(initial=0)


@jax.jit
def pruned_once(w, u, sparsity):
    tx = neo.sparsity.prune_to_sparsity(lambda _: sparsity)
    updates, state = tx.update(u, tx.init(w), w)
    return optax.apply_updates(w, updates), state.mask


def test_a_run_over_seeds_is_the_single_runs():
    tx = optax.chain(optax.sgd(0.1), neo.sparsity.prune_to_sparsity(0.7, begin=1))

    def two_steps(params):
        state = tx.init(params)
        for _ in range(2):
            updates, state = tx.update(params, state, params)
            params = optax.apply_updates(params, updates)
        return params

    many = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("f4")
    one = jax.jit(two_steps)
    alone = np.stack([one(params) for params in many])
    np.testing.assert_allclose(jax.jit(jax.vmap(two_steps))(many), alone, rtol=1e-6)
    assert np.all(np.sum(alone == 0, axis=(1, 2)) == 17)


def test_no_sort_and_one_byte_for_each_weight():
    params = {"kernel": np.ones((256, 256), np.float32)}
    tx = neo.sparsity.prune_to_sparsity(optax.linear_schedule(0.0, 0.9, 10))
    state = tx.init(params)
    text = jax.jit(tx.update).lower(params, state, params).compile().as_text()
    assert " sort(" not in text
    assert sum(x.nbytes for x in jax.tree.leaves(state)) == 256 * 256 + 8


def test_a_step_without_a_change_does_no_search():
    """The search is inside a branch, so that most steps do not pay for it."""
    params = {"kernel": np.ones((256, 256), np.float32)}
    tx = neo.sparsity.prune_to_sparsity(0.9, every=10)
    text = jax.jit(tx.update).lower(params, tx.init(params), params).as_text()
    entry = text.partition("func.func public")[2].partition("func.func private")[0]
    assert "stablehlo.while" not in entry


@pytest.mark.parametrize("bad", [1.0, -0.1, np.nan, "half", True])
def test_a_sparsity_outside_its_range(bad):
    with pytest.raises(ValueError, match=r"^`sparsity` must be (in|a number in) \[0,"):
        neo.sparsity.prune_to_sparsity(bad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(every=0), r"^`every` must be an integer >= 1, got 0\.$"),
        (dict(begin=-1), r"^`begin` must be an integer >= 0, got -1\.$"),
        (dict(begin=5, end=4), r"^`end` must be at least `begin`, 5, got 4\.$"),
        (
            dict(score="magnitude"),
            r"^`score` must be of type Score, got 'magnitude'\.$",
        ),
        (dict(scope="tree"), r"^`scope` must be of type Scope, got 'tree'\.$"),
        (dict(allocation=2), r"^`allocation` must be of type Allocation, got 2\.$"),
        (dict(mask="kernel"), r"(?m)^`mask` must hold True or False, got 'kernel'\.$"),
        (
            dict(granularity=neo.sparsity.units),
            r"^`granularity` must be of type Granularity, got .* forget to call it\?$",
        ),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        neo.sparsity.prune_to_sparsity(0.5, **options).init(np.ones((2, 2), "f4"))


def test_a_ramp_whose_end_is_off_the_grid_reaches_it():
    """Steps 0, 4, 8 are on the grid, and 10 is the end."""
    ramp = optax.linear_schedule(0.0, 0.8, 10)
    tx = neo.sparsity.prune_to_sparsity(ramp, every=4, end=10)
    w = np.arange(1, 11, dtype="f4").reshape(2, 5)
    _, after, _ = run(tx, np.zeros((12, 2, 5), "f4"), w)
    kept = np.count_nonzero(after, axis=(1, 2)).tolist()
    assert kept == [10] * 4 + [6] * 4 + [3] * 2 + [2] * 2


def test_a_group_that_does_not_fit_is_said_at_init():
    tx = neo.sparsity.prune_to_sparsity(0.5, granularity=neo.sparsity.blocks(3, 3))
    with pytest.raises(ValueError, match=r"^`shape` must divide .* at kernel; `mask`"):
        tx.init({"kernel": jnp.ones((4, 6))})


def test_params_are_needed():
    with pytest.raises(
        ValueError, match=r"^`params` must be passed to update for prun"
    ):
        jax.eval_shape(lambda w: HALF.update(w, HALF.init(w)), np.ones((2, 2), "f4"))


def test_arrays_with_nothing_to_choose_from():
    """An empty array stays empty, and one weight is always kept."""
    params = [np.ones(shape, np.float32) for shape in [(0, 3), (1, 1), (1, 0, 2)]]
    masks = mask_of(neo.sparsity.prune_to_sparsity(0.99), params)
    for mask, param in zip(masks, params, strict=True):
        assert mask.shape == param.shape
        assert np.all(mask)


def test_an_array_of_equals_keeps_the_later_ones():
    mask = mask_of(HALF, np.ones((2, 3), np.float32))
    assert mask.tolist() == [[False] * 3, [True] * 3]


def test_a_unit_takes_its_bias_with_it():
    """And no other vector: not that of another layer, not one of another length."""
    params = {
        "first": {"kernel": [[1.0, 3.0], [1.0, 3.0]], "bias": [1.0] * 2},
        "second": {"kernel": [[1.0] * 3] * 2, "bias": [1.0] * 3, "other": [1.0] * 2},
        "scale": [1.0] * 2,
    }
    is_leaf = lambda x: isinstance(x, list)  # noqa: E731
    params = jax.tree.map(np.float32, params, is_leaf=is_leaf)
    tx = neo.sparsity.prune_to_sparsity(
        0.5,
        granularity=neo.sparsity.units(-1),
        mask=by_path(lambda path, _: path == "first/kernel"),
    )
    masks = mask_of(tx, params)
    assert masks["first"]["bias"].tolist() == [False, True]
    del masks["first"]
    assert all(bool(mask.all()) for mask in jax.tree.leaves(masks))


def test_inputs_of_a_layer_leave_its_bias_alone():
    params = {"kernel": [[1.0, 1.0], [3.0, 3.0]], "bias": [1.0, 1.0]}
    params = {key: np.float32(value) for key, value in params.items()}
    tx = neo.sparsity.prune_to_sparsity(0.5, granularity=neo.sparsity.units(-2))
    mask = mask_of(tx, params)
    assert mask["kernel"].tolist() == [[False, False], [True, True]]
    assert mask["bias"].all()
