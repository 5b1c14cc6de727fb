"""Pruning by feedback."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
from neat_optax.sparsity import bang_bang, proportional
from neat_optax.sparsity._feedback import adapt_level, start_level


def levels(observed, state=None, **options):
    """The level after each observation."""
    state = start_level() if state is None else state
    found = []
    for x in observed:
        state, _ = adapt_level(state, x, **options)
        found.append(float(state.level))
    return found


def test_the_documented_example():
    """A distance of exactly the tolerance moves nothing, on either side."""
    observed = [100, 98, 90, 70, 65, 64, 55, 54]
    found = levels(observed, sparsity=0.4, tolerance=0.05, control=bang_bang(0.02))
    expected = [0.02, 0.04, 0.06, 0.08, 0.08, 0.08, 0.08, 0.06]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_level_saturates_at_the_target():
    found = levels([10] * 30)
    np.testing.assert_allclose(found, np.minimum(0.02 * np.arange(1, 31), 0.5), 1e-5)
    assert found[-1] == 0.5


def test_a_level_falls_to_zero_and_not_below():
    found = levels([10, 10, 2, 2, 2], sparsity=0.5, control=bang_bang(0.3))
    np.testing.assert_allclose(found, [0.3, 0.5, 0.2, 0.0, 0.0], atol=1e-7)


def test_a_level_above_the_target_is_pulled_down_at_once():
    assert levels([10], start_level(0.9), sparsity=0.4) == [np.float32(0.4)]


def test_proportional_answers_by_hand():
    """The excess is .5, then .25; then the target is met."""
    found = levels([8, 6, 4], sparsity=0.5, control=proportional(0.5))
    assert found == [0.25, 0.375, 0.375]
    capped = levels([8, 6], sparsity=0.5, control=proportional(1.0, max_step=0.125))
    assert capped == [0.125, 0.25]


@given(
    sizes=st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
    target=st.floats(0, 0.99),
    rate=st.floats(1e-3, 2),
)
def test_the_level_stays_in_its_bounds(sizes, target, rate):
    found = levels(sizes, sparsity=target, control=bang_bang(rate))
    assert min(found) >= 0
    assert max(found) <= np.float32(target)


def play(tx, params, steps, **extra):
    state = tx.init(params)
    kept = []
    for step in range(steps):
        grads = jnp.asarray(np.random.default_rng(step).normal(size=params.shape))
        updates, state = tx.update(grads.astype(params.dtype), state, params, **extra)
        params = optax.apply_updates(params, updates)
        kept.append(int(jnp.count_nonzero(params)))
    return kept, state


PARAMS = jnp.asarray(np.random.default_rng(9).normal(size=(10, 10)), jnp.float32)


def test_the_original_rule_climbs_until_the_band():
    """Each step prunes 10 of 100 more, until 60 are within 5 of the 50 asked for."""
    tx = neo.sparsity.adapt_pruning(0.5, tolerance=0.11, control=bang_bang(0.1))
    kept, state = play(optax.chain(optax.sgd(0.01), tx), PARAMS, 8)
    assert kept == [90, 80, 70, 60, 60, 60, 60, 60]
    assert float(state[1].target.baseline) == 100


def test_proportional_goes_to_the_target():
    tx = neo.sparsity.adapt_pruning(0.5, tolerance=0.0, control=proportional(1.0))
    assert play(tx, PARAMS, 3)[0] == [50, 50, 50]


def test_a_complexity_from_the_caller():
    """Here the network never gets simpler, so that the level saturates."""
    tx = neo.sparsity.adapt_pruning(0.3, control=bang_bang(0.1), every=2)
    kept, state = play(tx, PARAMS, 8, complexity=7.0)
    assert kept == [90, 90, 80, 80, 70, 70, 70, 70]
    assert float(state.target.baseline) == 7.0


def test_a_falling_level_restores_nothing():
    tx = neo.sparsity.adapt_pruning(0.5, control=bang_bang(0.3))
    state, params = tx.init(PARAMS), PARAMS
    sizes = []
    for observed in (10.0, 1.0, 1.0):
        updates, state = tx.update(PARAMS, state, params, complexity=observed)
        params = optax.apply_updates(params, updates)
        sizes.append((float(state.target.level), int(jnp.count_nonzero(params))))
    assert sizes == [(np.float32(0.3), 70), (0.0, 70), (0.0, 70)]


def test_the_baseline_is_that_of_the_first_step_that_is_due():
    tx = neo.sparsity.adapt_pruning(0.5, begin=2)
    state = tx.init(PARAMS)
    for observed in (5.0, 6.0, 7.0, 8.0):
        _, state = tx.update(PARAMS, state, PARAMS, complexity=observed)
    assert float(state.target.baseline) == 7.0


def test_nothing_is_counted_in_between():
    tx = neo.sparsity.adapt_pruning(0.5, every=10)
    text = jax.jit(tx.update).lower(PARAMS, tx.init(PARAMS), PARAMS).as_text()
    entry = text.partition("func.func public")[2].partition("func.func private")[0]
    assert "stablehlo.reduce" not in entry


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: neo.sparsity.adapt_pruning(1.0),
            r"^`sparsity` must be in \[0, 1\), got 1\.0\.$",
        ),
        (
            lambda: neo.sparsity.adapt_pruning(-0.2),
            r"^`sparsity` must be in \[0, 1\), got -0\.2",
        ),
        (
            lambda: neo.sparsity.adapt_pruning(tolerance=-1),
            r"^`tolerance` must be in \[0, inf\)",
        ),
        (
            lambda: neo.sparsity.adapt_pruning(control=bang_bang),
            r"^`control` must be of type Cont",
        ),
        (lambda: bang_bang(0), r"^`rate` must be in \(0, inf\), got 0\.$"),
        (lambda: proportional(-1), r"^`gain` must be in \(0, inf\), got -1\.$"),
        (lambda: proportional(1, 0), r"^`max_step` must be in \(0, inf\), got 0\.$"),
        (lambda: start_level(1.5), r"^`level` must be in \[0, 1\), got 1\.5\.$"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
