"""Thresholds that leave exact zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo
import samplers


def apply(tx, params, update, metric=None):
    """The parameters after one update."""
    params, update = jnp.asarray(params), jnp.asarray(update)
    metric = None if metric is None else jnp.asarray(metric)
    change, _ = tx.update(update, tx.init(params), params, metric=metric)
    return optax.apply_updates(params, change)


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


@pytest.mark.parametrize(
    ("tx", "expected", "in_metric"),
    [
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
    ],
)
def test_by_hand_and_in_a_metric_of_two(tx, expected, in_metric):
    """Twice the metric is half the level; on one axis each entry is a group."""
    params, update = [2.0, -2.0, 0.25, -0.5], [0.5, 0.0, 0.0, -0.125]
    np.testing.assert_array_equal(apply(tx, params, update), expected)
    after = apply(tx, params, update, [2.0] * 4)
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
@pytest.mark.parametrize("update_dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("params_dtype", ["bfloat16", "float16", "float32"])
def test_zeros_are_exact_in_every_precision(tx, params_dtype, update_dtype, metric):
    rng = np.random.default_rng(0)
    params = jnp.asarray(rng.uniform(0.1, 0.15, size=(100, 2)), params_dtype)
    tx = tx if tx is not TXS["group"] else neo.sparsity.group_lasso(2.0)
    metric = None if metric is None else jnp.full(params.shape, metric, update_dtype)
    after = apply(tx, params, jnp.zeros_like(params, update_dtype), metric)
    assert np.count_nonzero(np.asarray(after, np.float32)) == 0


@SIGNED
def test_a_complex_weight_is_judged_by_its_size(tx):
    after = apply(tx, jnp.array([0.2 + 0.2j, 3.0 + 4.0j]), jnp.zeros(2, jnp.complex64))
    whole = tx is PRUNE or tx is TXS["hard"]
    factor = 1 if whole else 0.94 / 1.5 if tx is TXS["elastic"] else 0.94
    np.testing.assert_allclose(after, [0.0, (3 + 4j) * factor], rtol=1e-6)


def test_a_complex_group_has_the_norm_of_its_parts():
    params = jnp.array([[3.0 + 0j], [4.0j]])
    after = apply(neo.sparsity.group_lasso(2.5), params, 0 * params)
    np.testing.assert_allclose(after, params / 2, rtol=1e-6)
    after = apply(
        neo.sparsity.group_lasso(5.0), params, 0 * params, jnp.full((2, 1), 2.0)
    )
    np.testing.assert_allclose(after, params / 2, rtol=1e-6)


@ANY
def test_an_update_that_is_not_finite_is_not_taken_for_a_small_weight(tx):
    params = jnp.array([2.0, 2.0])
    change, _ = tx.update(jnp.array([jnp.nan, 0.0]), tx.init(params), params)
    assert not np.isfinite(change[0])
    assert np.isfinite(change[1])


def elastic(l1):
    return neo.sparsity.elastic_net(l1, l1)


ONE_LEVEL = (
    neo.sparsity.soft_threshold,
    neo.sparsity.hard_threshold,
    neo.sparsity.nonnegative_lasso,
    neo.sparsity.group_lasso,
)


def test_a_threshold_of_zero_changes_nothing():
    for tx in [
        factory(0.0) for factory in (*ONE_LEVEL, elastic, neo.sparsity.prune_below)
    ]:
        np.testing.assert_array_equal(apply(tx, [1.0, 0.0], [0.5, 0.25]), [1.5, 0.25])
    params, update = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f4")
    for metric in (None, np.exp(params)):
        change = neo.sparsity.group_lasso(0.0).update
        state = neo.sparsity.group_lasso(0.0).init(params)
        same, _ = change(jnp.asarray(update), state, jnp.asarray(params), metric=metric)
        np.testing.assert_array_equal(same, update)


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
    for axis, norm in norms.items():
        after = apply(neo.sparsity.group_lasso(0.75, axis=axis), params, 0 * params)
        level = np.maximum(1 - 0.75 / np.maximum(norm, 1e-9), 0)
        np.testing.assert_allclose(after, params * level, rtol=1e-6)


def test_a_scalar_is_one_group():
    np.testing.assert_allclose(apply(neo.sparsity.group_lasso(0.5), 2.0, 0.0), 1.5)
    np.testing.assert_allclose(
        apply(neo.sparsity.group_lasso(0.5), 2.0, 0.0, 2.0), 1.75
    )


@pytest.mark.parametrize("spec", [P("data"), P(None, "data")], ids=["in", "across"])
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_groups_on_a_mesh(spec, axis_type):
    rng = np.random.default_rng(0)
    params, metric = rng.normal(size=(8, 16)), np.exp(rng.normal(size=(8, 16)))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    tx = neo.sparsity.group_lasso(1.5)
    with jax.set_mesh(mesh):
        place = NamedSharding(mesh, spec)
        p, m = (jax.device_put(x.astype("f4"), place) for x in (params, metric))
        change, _ = jax.jit(tx.update)(0 * p, tx.init(p), p, metric=m)
    assert change.sharding.is_equivalent_to(place, 2)
    p, m = jnp.asarray(params, "f4"), jnp.asarray(metric, "f4")
    expected, _ = tx.update(0 * p, tx.init(p), p, metric=m)
    np.testing.assert_allclose(change, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factory", [*ONE_LEVEL, elastic, neo.sparsity.prune_below])
def test_schedules_count_steps(factory):
    tx = factory(lambda step: 1.0 * (step >= 1))
    params = jnp.array([0.5])
    state = tx.init(params)
    first, state = tx.update(jnp.zeros(1), state, params)
    second, _ = tx.update(jnp.zeros(1), state, params)
    assert (first, second) == (0.0, -0.5)


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
        tx.update(jnp.ones(1), tx.init(jnp.ones(1)))


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
    message = r"^`params` must have real leaves, got complex64\.$"
    with pytest.raises(ValueError, match=message):
        apply(
            neo.sparsity.nonnegative_lasso(0.1),
            jnp.ones(2, jnp.complex64),
            jnp.zeros(2),
        )


def test_zeros_last_in_the_full_optimizer():
    """Learning rate .1, weight 2: shrinks by .2, after lookahead; then prunes."""
    tx = neo.neat(0.1, beta=0.0, l1=2.0, prune_threshold=0.25, lookahead_period=1)
    after = apply(tx, [1.0, 0.3, 0.4], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(after, [0.8, 0.0, 0.0], rtol=1e-6)
