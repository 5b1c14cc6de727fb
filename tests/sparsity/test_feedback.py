"""Pruning by feedback."""

import functools

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
from neat_optax.sparsity import bang_bang, proportional
from neat_optax.sparsity._feedback import adapt_level, start_level
from running import run

LONGEST = 30


@functools.cache
def compiled(control):
    """One kind of controller as a function of its numbers and all observations."""

    def play(state, observed, sparsity, tolerance, numbers):
        def step(state, x):
            state, _ = adapt_level(
                state,
                x,
                sparsity=sparsity,
                tolerance=tolerance,
                control=control(*numbers),
            )
            return state, state.level

        return jax.lax.scan(step, state, observed)[1]

    return jax.jit(play)


def levels(
    observed, *numbers, control=bang_bang, sparsity=0.5, tolerance=0.05, start=0.0
):
    """The level after each observation; one compiled run for each controller."""
    padded = np.zeros(LONGEST, np.float32)
    padded[: len(observed)] = observed
    state = jax.tree.map(np.asarray, start_level(start))
    given = jax.tree.map(np.float32, (sparsity, tolerance, numbers))
    found = np.asarray(compiled(control)(state, padded, *given))
    return found[: len(observed)].tolist()


def test_the_documented_example():
    """A distance of exactly the tolerance moves nothing, on either side."""
    observed = [100, 98, 90, 70, 65, 64, 55, 54]
    found = levels(observed, 0.02, sparsity=0.4)
    expected = [0.02, 0.04, 0.06, 0.08, 0.08, 0.08, 0.08, 0.06]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_level_saturates_at_the_target():
    found = levels([10] * 30, 0.02)
    np.testing.assert_allclose(found, np.minimum(0.02 * np.arange(1, 31), 0.5), 1e-5)
    assert found[-1] == 0.5


def test_a_level_falls_to_zero_and_not_below():
    found = levels([10, 10, 2, 2, 2], 0.3)
    np.testing.assert_allclose(found, [0.3, 0.5, 0.2, 0.0, 0.0], atol=1e-7)


def test_a_level_above_the_target_is_pulled_down_at_once():
    assert levels([10], 0.02, start=0.9, sparsity=0.4) == [np.float32(0.4)]


def test_proportional_answers_by_hand():
    """The excess is .5, then .25; then the target is met."""
    found = levels([8, 6, 4], 0.5, 1.0, control=proportional)
    assert found == [0.25, 0.375, 0.375]
    capped = levels([8, 6], 1.0, 0.125, control=proportional)
    assert capped == [0.125, 0.25]


@given(
    sizes=st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
    target=st.floats(0, 0.99),
    rate=st.floats(1e-3, 2),
)
def test_the_level_stays_in_its_bounds(sizes, target, rate):
    found = levels(sizes, rate, sparsity=target)
    assert min(found) >= 0
    assert max(found) <= np.float32(target)


def play(tx, steps, **extra):
    """How many weights are left after each step, and the last state."""
    grads = np.random.default_rng(0).normal(size=(steps, 10, 10)).astype("f4")
    _, after, state = run(tx, grads, PARAMS, **extra)
    return np.count_nonzero(after, axis=(1, 2)).tolist(), state


PARAMS = np.random.default_rng(9).normal(size=(10, 10)).astype("f4")


def test_the_original_rule_climbs_until_the_band():
    """Each step prunes 10 of 100 more, until 60 are within 5 of the 50 asked for."""
    tx = neo.sparsity.adapt_pruning(0.5, tolerance=0.11, control=bang_bang(0.1))
    kept, state = play(optax.chain(optax.sgd(0.01), tx), 8)
    assert kept == [90, 80, 70, 60, 60, 60, 60, 60]
    assert float(state[1].target.baseline) == 100


def test_proportional_goes_to_the_target():
    tx = neo.sparsity.adapt_pruning(0.5, tolerance=0.0, control=proportional(1.0))
    assert play(tx, 3)[0] == [50, 50, 50]


def test_a_complexity_from_the_caller():
    """Here the network never gets simpler, so that the level saturates."""
    tx = neo.sparsity.adapt_pruning(0.3, control=bang_bang(0.1), every=2)
    kept, state = play(tx, 8, complexity=np.full(8, 7.0, "f4"))
    assert kept == [90, 90, 80, 80, 70, 70, 70, 70]
    assert float(state.target.baseline) == 7.0


def test_a_falling_level_restores_nothing():
    tx = neo.sparsity.adapt_pruning(0.5, control=bang_bang(0.3))
    observed = np.array([10.0, 1.0, 1.0], "f4")
    kept, state = play(tx, 3, complexity=observed)
    assert kept == [70, 70, 70]
    assert float(state.target.level) == 0.0
    assert levels(observed, 0.3) == [np.float32(0.3), 0.0, 0.0]


def test_the_baseline_is_that_of_the_first_step_that_is_due():
    tx = neo.sparsity.adapt_pruning(0.5, begin=2)
    _, state = play(tx, 4, complexity=np.array([5.0, 6.0, 7.0, 8.0], "f4"))
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
