"""Thresholds that leave exact zeros."""

import functools

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo
import samplers
from running import quick_jit, run


def apply(tx, params, update, metric=None):
    """The parameters after one update."""
    return jax.device_get(compiled(tx)(*arrays(params, update, metric)))


def apply_each(txs, params, update, metric=None):
    """The same by each of several, in one program."""

    @quick_jit
    def together(*given):
        return [once(tx, *given) for tx in txs]

    return jax.device_get(together(*arrays(params, update, metric)))


def arrays(*trees):
    return jax.tree.map(
        lambda x: x if hasattr(x, "dtype") else np.float32(x),
        trees,
        is_leaf=lambda x: isinstance(x, list),
    )


def once(tx, params, update, metric):
    change, _ = tx.update(update, tx.init(params), params, metric=metric)
    return optax.apply_updates(params, change)


@functools.cache
def compiled(tx):
    return jax.jit(functools.partial(once, tx))


def test_soft_threshold_by_hand():
    after = apply(
        neo.sparsity.soft_threshold(0.5), [2.0, -2.0, 0.25, -0.5], [0.5, 0.0, 0.0, 0.0]
    )
    np.testing.assert_array_equal(after, [2.0, -1.5, 0.0, 0.0])


def test_prune_below_by_hand():
    """The threshold itself stays."""
    after = apply(
        neo.sparsity.prune_below(0.5), [0.5, -0.25, 1.0, 0.25], [0.0, 0.0, -0.75, 0.5]
    )
    np.testing.assert_array_equal(after, [0.5, 0.0, 0.0, 0.75])


def test_a_pruned_weight_can_come_back():
    assert apply(neo.sparsity.prune_below(0.5), [0.0], [0.75]) == 0.75


BY_HAND = (
    (
        neo.sparsity.soft_threshold(0.5),
        [2.0, -1.5, 0.0, -0.125],
        [2.25, -1.75, 0.0, -0.375],
    ),
    (
        neo.sparsity.elastic_net(0.5, 1.0),
        [1.0, -0.75, 0.0, -0.0625],
        [1.5, -7 / 6, 0.0, -0.25],
    ),
    (
        neo.sparsity.hard_threshold(0.125),
        [2.5, -2.0, 0.0, -0.625],
        [2.5, -2.0, 0.0, -0.625],
    ),
    (
        neo.sparsity.hard_threshold(0.5),
        [2.5, -2.0, 0.0, 0.0],
        [2.5, -2.0, 0.0, 0.0],
    ),
    (
        neo.sparsity.nonnegative_lasso(0.5),
        [2.0, 0.0, 0.0, 0.0],
        [2.25, 0.0, 0.0, 0.0],
    ),
    (
        neo.sparsity.group_lasso(0.5),
        [2.0, -1.5, 0.0, -0.125],
        [2.25, -1.75, 0.0, -0.375],
    ),
    (
        neo.sparsity.prune_below(0.5),
        [2.5, -2.0, 0.0, -0.625],
        [2.5, -2.0, 0.0, -0.625],
    ),
)


def test_by_hand_and_in_a_metric_of_two():
    """Twice the metric is half the level; on one axis each entry is a group."""
    txs, expected, in_metric = zip(*BY_HAND, strict=True)
    params, update = [2.0, -2.0, 0.25, -0.5], [0.5, 0.0, 0.0, -0.125]
    np.testing.assert_array_equal(apply_each(txs, params, update), expected)
    after = apply_each(txs, params, update, [2.0] * 4)
    np.testing.assert_allclose(after, in_metric, rtol=1e-6)


TXS = {
    "soft": neo.sparsity.soft_threshold(0.3),
    "elastic": neo.sparsity.elastic_net(0.3, 0.5),
    "hard": neo.sparsity.hard_threshold(0.045),
    "group": neo.sparsity.group_lasso(0.3),
    "prune": neo.sparsity.prune_below(0.3),
    "nonnegative": neo.sparsity.nonnegative_lasso(0.3),
}
"""All of them zero what is smaller than 0.3."""
SOFT, PRUNE = TXS["soft"], TXS["prune"]
ANY = pytest.mark.parametrize("tx", TXS.values(), ids=TXS.keys())
SIGNED = pytest.mark.parametrize("tx", list(TXS.values())[:-1], ids=list(TXS)[:-1])


@SIGNED
@given(seed=samplers.seeds)
def test_zeros_are_exact(tx, seed):
    """Whatever the rounding of `p + u`, what is to be zero is zero."""
    params, update = np.random.default_rng(seed).normal(size=(2, 64)).astype("f4")
    z = params.astype(np.float64) + update
    after = np.asarray(apply(tx, params, update))
    small = np.abs(z) < 0.3 - 1e-6
    assert np.all(after[small] == 0)
    assert np.all(after[np.abs(z) > 0.3 + 1e-6] != 0)


@ANY
@pytest.mark.parametrize("metric", [None, 1.25])
def test_zeros_are_exact_in_every_precision(tx, metric):
    """Of parameters and updates: all pairs in one tree, and so in one step."""
    weights = np.random.default_rng(0).uniform(0.1, 0.15, size=(100, 2))
    dtypes = "bfloat16", "float16", "float32"
    pairs = [(p, u) for p in dtypes for u in ("bfloat16", "float32")]
    tx = tx if tx is not TXS["group"] else neo.sparsity.group_lasso(2.0)
    params = [weights.astype(p) for p, _ in pairs]
    updates = [np.zeros(weights.shape, u) for _, u in pairs]
    if metric is not None:
        metric = [np.full(weights.shape, metric, u) for _, u in pairs]
    for after, (dtype, _) in zip(
        compiled(tx)(params, updates, metric), pairs, strict=True
    ):
        assert after.dtype == dtype
        assert np.count_nonzero(np.asarray(after, np.float32)) == 0


def test_a_complex_weight_is_judged_by_its_size():
    factors = {
        "soft": 0.94,
        "elastic": 0.94 / 1.5,
        "hard": 1,
        "group": 0.94,
        "prune": 1,
    }
    params = np.complex64([0.2 + 0.2j, 3.0 + 4.0j])
    after = apply_each([TXS[name] for name in factors], params, 0 * params)
    expected = [[0.0, (3 + 4j) * factor] for factor in factors.values()]
    np.testing.assert_allclose(after, expected, rtol=1e-6)


def test_a_complex_group_has_the_norm_of_its_parts():
    params = np.complex64([[3.0 + 0j], [4.0j]])
    after = apply(neo.sparsity.group_lasso(2.5), params, 0 * params)
    np.testing.assert_allclose(after, params / 2, rtol=1e-6)
    after = apply(
        neo.sparsity.group_lasso(5.0), params, 0 * params, np.full((2, 1), 2.0, "f4")
    )
    np.testing.assert_allclose(after, params / 2, rtol=1e-6)


def test_an_update_that_is_not_finite_is_not_taken_for_a_small_weight():
    after = apply_each(TXS.values(), [2.0, 2.0], [np.nan, 0.0])
    assert np.isfinite(after).tolist() == [[False, True]] * len(TXS)


def elastic(l1):
    return neo.sparsity.elastic_net(l1, l1)


ONE_LEVEL = (
    neo.sparsity.soft_threshold,
    neo.sparsity.hard_threshold,
    neo.sparsity.nonnegative_lasso,
    neo.sparsity.group_lasso,
)


def test_a_threshold_of_zero_changes_nothing():
    factories = (*ONE_LEVEL, elastic, neo.sparsity.prune_below)
    txs = [factory(0.0) for factory in factories]
    after = apply_each(txs, [1.0, 0.0], [0.5, 0.25])
    np.testing.assert_array_equal(after, [[1.5, 0.25]] * len(txs))
    params, update = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f4")
    tx = neo.sparsity.group_lasso(0.0)
    for extra in ({}, {"metric": np.exp(params)[None]}):
        same, _, _ = run(tx, update[None], params, **extra)
        np.testing.assert_array_equal(same[0], update)


def test_groups_are_numbered_by_axis():
    """Norms of columns 5 and 0.5, of rows 3.04 and 4.01; of all 5.02; of entries."""
    params = np.array([[3.0, 0.5], [4.0, 0.0]], np.float32)
    norms = {
        -1: np.array([[5.0, 0.5]]),
        0: np.linalg.norm(params, axis=1, keepdims=True),
        -3: np.linalg.norm(params),
        (0, 1): np.abs(params),
        (-2, 1): np.abs(params),
        (): np.linalg.norm(params),
    }
    txs = [neo.sparsity.group_lasso(0.75, axis=axis) for axis in norms]
    found = apply_each(txs, params, 0 * params)
    for after, norm in zip(found, norms.values(), strict=True):
        level = np.maximum(1 - 0.75 / np.maximum(norm, 1e-9), 0)
        np.testing.assert_allclose(after, params * level, rtol=1e-6)


def test_a_scalar_is_one_group():
    np.testing.assert_allclose(apply(neo.sparsity.group_lasso(0.5), 2.0, 0.0), 1.5)
    np.testing.assert_allclose(
        apply(neo.sparsity.group_lasso(0.5), 2.0, 0.0, 2.0), 1.75
    )


@pytest.mark.parametrize(
    "spec", [pytest.param(P("data"), marks=pytest.mark.slow), P(None, "data")], ids=str
)
@pytest.mark.parametrize(
    "axis_type",
    [AxisType.Explicit, pytest.param(AxisType.Auto, marks=pytest.mark.slow)],
    ids=str,
)
def test_groups_on_a_mesh(spec, axis_type):
    rng = np.random.default_rng(0)
    params, metric = rng.normal(size=(8, 16)), np.exp(rng.normal(size=(8, 16)))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    tx = neo.sparsity.group_lasso(1.5)
    with jax.set_mesh(mesh):
        place = NamedSharding(mesh, spec)
        p, m = (jax.device_put(x.astype("f4"), place) for x in (params, metric))
        change, _ = jax.jit(lambda p, m: tx.update(0 * p, tx.init(p), p, metric=m))(
            p, m
        )
    assert change.sharding.is_equivalent_to(place, 2)
    p, m = params.astype("f4"), metric.astype("f4")
    expected = apply(tx, p, 0 * p, m) - p
    np.testing.assert_allclose(change, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factory", [*ONE_LEVEL, elastic, neo.sparsity.prune_below])
def test_schedules_count_steps(factory):
    tx = factory(lambda step: 1.0 * (step >= 1))
    updates, _, _ = run(tx, np.zeros((2, 1), "f4"), np.float32([0.5]))
    assert updates.tolist() == [[0.0], [-0.5]]


@pytest.mark.parametrize(
    ("factory", "name"),
    [(f, "strength") for f in ONE_LEVEL] + [(neo.sparsity.prune_below, "threshold")],
)
def test_bad_input(factory, name):
    with pytest.raises(
        ValueError, match=rf"^`{name}` must be in \[0, inf\), got -1\.$"
    ):
        factory(-1)
    tx = factory(0.1)
    message = rf"^`params` must be passed to update for {factory.__name__}, got None"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda w: tx.update(w, tx.init(w)), np.ones(1, np.float32))


def test_bad_input_of_the_others():
    with pytest.raises(ValueError, match=r"^`l1` must be in \[0, inf\), got -1\.$"):
        neo.sparsity.elastic_net(-1, 0)
    with pytest.raises(ValueError, match=r"^`l2` must be in \[0, inf\), got -1\.$"):
        neo.sparsity.elastic_net(0, -1)
    for axis in (0.5, "rows", (0, None)):
        with pytest.raises(ValueError, match=r"^`axis` must be an integer, got .*\.$"):
            neo.sparsity.group_lasso(0.1, axis=axis)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^`metric` must have the shapes of `params`"):
        apply(SOFT, [1.0, 2.0], [0.0, 0.0], [1.0])
    message = r"(?m)^`params` must have real leaves, got complex64\.$"
    with pytest.raises(ValueError, match=message):
        apply(
            neo.sparsity.nonnegative_lasso(0.1),
            np.ones(2, "c8"),
            np.zeros(2, "f4"),
        )


def test_zeros_last_in_the_full_optimizer():
    """Learning rate .1, weight 2: shrinks by .2, after lookahead; then prunes."""
    tx = optax.chain(
        neo.keep_slow_params(neo.neat(0.1, beta=0.0), period=1),
        neo.sparsity.soft_threshold(0.1 * 2.0),
        neo.sparsity.prune_below(0.25),
    )
    after = apply(tx, [1.0, 0.3, 0.4], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(after, [0.8, 0.0, 0.0], rtol=1e-6)
