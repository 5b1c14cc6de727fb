"""Thresholds that leave exact zeros."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given

import neat_optax as no
import samplers


def apply(tx, params, update):
    """The parameters after one update."""
    params, update = jnp.asarray(params), jnp.asarray(update)
    change, _ = tx.update(update, tx.init(params), params)
    return optax.apply_updates(params, change)


def test_soft_threshold_by_hand():
    after = apply(no.soft_threshold(0.5), [2.0, -2.0, 0.25, -0.5], [0.5, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(after, [2.0, -1.5, 0.0, 0.0])


def test_prune_below_by_hand():
    """The threshold itself stays."""
    after = apply(no.prune_below(0.5), [0.5, -0.25, 1.0, 0.25], [0.0, 0.0, -0.75, 0.5])
    np.testing.assert_array_equal(after, [0.5, 0.0, 0.0, 0.75])


def test_a_pruned_weight_can_come_back():
    assert apply(no.prune_below(0.5), [0.0], [0.75]) == 0.75


SOFT, PRUNE = no.soft_threshold(0.3), no.prune_below(0.3)
BOTH = pytest.mark.parametrize("tx", [SOFT, PRUNE], ids=["soft", "prune"])


@BOTH
@given(seed=samplers.seeds)
def test_zeros_are_exact(tx, seed):
    """Whatever the rounding of `p + u`, what is to be zero is zero."""
    params, update = np.random.default_rng(seed).normal(size=(2, 64)).astype("f4")
    z = params.astype(np.float64) + update
    after = np.asarray(apply(tx, params, update))
    small = np.abs(z) < 0.3 - 1e-6
    assert np.all(after[small] == 0)
    assert np.all(after[np.abs(z) > 0.3 + 1e-6] != 0)


@BOTH
@pytest.mark.parametrize("update_dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("params_dtype", ["bfloat16", "float16", "float32"])
def test_zeros_are_exact_in_every_precision(tx, params_dtype, update_dtype):
    rng = np.random.default_rng(0)
    params = jnp.asarray(rng.uniform(0.1, 0.2, size=100), params_dtype)
    after = apply(tx, params, jnp.zeros(100, update_dtype))
    assert np.count_nonzero(np.asarray(after, np.float32)) == 0


@BOTH
def test_a_complex_weight_is_judged_by_its_size(tx):
    after = apply(tx, jnp.array([0.2 + 0.2j, 3.0 + 4.0j]), jnp.zeros(2, jnp.complex64))
    kept = 3 + 4j if tx is PRUNE else (3 + 4j) * 4.7 / 5
    np.testing.assert_allclose(after, [0.0, kept], rtol=1e-6)


@BOTH
def test_an_update_that_is_not_finite_is_not_taken_for_a_small_weight(tx):
    params = jnp.array([2.0, 2.0])
    change, _ = tx.update(jnp.array([jnp.nan, 0.0]), tx.init(params), params)
    assert not np.isfinite(change[0])
    assert np.isfinite(change[1])


def test_a_threshold_of_zero_changes_nothing():
    for tx in (no.soft_threshold(0.0), no.prune_below(0.0)):
        np.testing.assert_array_equal(apply(tx, [1.0, 0.0], [0.5, 0.25]), [1.5, 0.25])


@pytest.mark.parametrize("factory", [no.soft_threshold, no.prune_below])
def test_schedules_count_steps(factory):
    tx = factory(lambda step: 1.0 * (step >= 1))
    params = jnp.array([0.5])
    state = tx.init(params)
    first, state = tx.update(jnp.zeros(1), state, params)
    second, _ = tx.update(jnp.zeros(1), state, params)
    assert (first, second) == (0.0, -0.5)


@pytest.mark.parametrize(
    ("factory", "name"),
    [(no.soft_threshold, "strength"), (no.prune_below, "threshold")],
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


def test_zeros_last_in_the_full_optimizer():
    """Learning rate .1, weight 2: shrinks by .2, after lookahead; then prunes."""
    tx = no.neat(0.1, beta=0.0, l1=2.0, prune_threshold=0.25, lookahead_period=1)
    after = apply(tx, [1.0, 0.3, 0.4], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(after, [0.8, 0.0, 0.0], rtol=1e-6)
