"""How much each player counts, and how many contests share one state."""

import jax
import numpy as np
import pytest

from neat_optax.players._form import Reduction, share_state

PRESENT = np.array([True, True, False])


def test_without_preference_the_present_count_alike():
    shares = Reduction(None, add=False).shares(PRESENT)
    np.testing.assert_array_equal(shares, [1, 1, 0])


def test_the_argument_overrides_the_preference():
    """Absent players count nothing, whatever their preference."""
    reduction = Reduction((1.0, 2.0, 3.0), add=False)
    np.testing.assert_array_equal(reduction.shares(PRESENT), [1, 2, 0])
    passed = reduction.shares(PRESENT, np.float32([4, 0, 5]))
    np.testing.assert_array_equal(passed, [4, 0, 0])


@pytest.mark.parametrize(("add", "factors"), [(False, [0.25, 0.75]), (True, [1, 3])])
def test_a_mean_and_a_sum_of_preferred_players(add, factors):
    reduction = Reduction(None, add)
    np.testing.assert_allclose(reduction.factors(np.float32([1, 3])), factors)
    np.testing.assert_array_equal(reduction.factors(np.zeros(2, np.float32)), [0, 0])


def test_states_are_shared_by_those_that_count():
    """Averages are averaged, a counter is taken from any."""
    states = {"mean": np.float32([1, 3, 9]), "count": np.int32([5, 5, 5])}
    old = {"mean": np.float32(7), "count": np.int32(4)}
    share = jax.jit(share_state)
    found = jax.device_get(share(states, np.float32(PRESENT), old))
    assert (found["mean"], found["count"]) == (2, 5)
    assert np.asarray(share(states, np.zeros(3, np.float32), old)["mean"]) == 7
