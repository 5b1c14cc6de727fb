import jax
import numpy as np
import pytest

import aggregator_goldens as goldens
import running
import stepping
import weight_rules
from neat_optax import aggregators

ROWS = np.array([[1.0, 4.0], [3.0, -2.0]])
ALONE = np.array([False, True])
MEAN, SUM = aggregators.mean(), aggregators.sum()
CONSTANT = aggregators.constant((-1.0, 0.5))
RECORDED = {"Mean": {}, "Sum": {}, "Constant": {"weights": goldens.preference}}


def reduced(tx, g, **extra):
    return stepping.step(tx, g, **extra)[0]


def test_by_hand():
    both = np.array([True, True])
    for tx, update in ((MEAN, [2.0, 1.0]), (SUM, [4.0, 2.0]), (CONSTANT, [0.5, -5.0])):
        np.testing.assert_array_equal(reduced(tx, ROWS, present=both), update)


@pytest.mark.parametrize("name", RECORDED)
def test_rules_agree_with_the_recorded(name):
    recorded = goldens.cases("aggregators", f"torchjd.{name}.float64")
    found = weight_rules.errors(
        name.lower(), recorded, goldens.MATRICES, **RECORDED[name]
    )
    assert len(found) == len(goldens.MATRICES)
    assert max(found.values()) < 1e-6, found


def test_preference_is_taken_as_it_is_and_overridden():
    tx = aggregators.mean(preference=(2.0, 1.0))
    np.testing.assert_array_equal(reduced(tx, ROWS), [5.0, 6.0])
    given = np.array([0.0, 0.5])
    np.testing.assert_array_equal(reduced(tx, ROWS, preference=given), [1.5, -1.0])


def test_absent_players():
    """The mean is over those present, and shares out the preference of the others."""
    np.testing.assert_array_equal(reduced(MEAN, ROWS, present=ALONE), [3.0, -2.0])
    preferred = aggregators.mean(preference=(0.75, 0.25))
    np.testing.assert_array_equal(reduced(preferred, ROWS, present=ALONE), [3.0, -2.0])
    np.testing.assert_array_equal(reduced(SUM, ROWS, present=ALONE), [3.0, -2.0])
    np.testing.assert_array_equal(reduced(CONSTANT, ROWS, present=ALONE), [1.5, -1.0])


def test_random_weights_are_a_softmax_of_normal_numbers():
    key = jax.random.key(3)
    logits = np.asarray(jax.random.normal(key, (4,)), np.float64)
    expected = np.exp(logits) / np.sum(np.exp(logits))
    weights = stepping.call(aggregators.random_weights, np.zeros((4, 4)), key)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_random_weights_are_drawn_anew_in_each_step():
    """Their mean over many steps is equal weights, with all of them different."""
    players = np.broadcast_to(np.eye(3, dtype=np.float32), (2000, 3, 3))
    tx = aggregators.random(key=0)
    draws, _, _ = running.run(tx, players, np.zeros(3, np.float32), move=False)
    np.testing.assert_allclose(np.sum(draws, axis=1), 1.0, rtol=1e-6)
    # The standard deviation of one weight is about 0.2: five of its errors of the mean.
    np.testing.assert_allclose(np.mean(draws, axis=0), 1 / 3, atol=5 * 0.2 / 2000**0.5)
    assert len(np.unique(draws[:, 0])) > 1990


def test_random_weights_of_absent_players_are_shared_out():
    present = np.array([True, False, True])
    weights = reduced(aggregators.random(key=1), np.eye(3), present=present)
    assert weights[1] == 0
    np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-6)


def test_absent_players_leave_nothing():
    stepping.check_absent_players(aggregators.random())


def test_errors():
    with pytest.raises(ValueError, match="`weights` must be finite numbers, one for"):
        aggregators.constant((1.0, float("nan")))
    with pytest.raises(ValueError, match="`weights` must have one entry for each of"):
        reduced(aggregators.constant((1.0,)), ROWS)
    with pytest.raises(ValueError, match="`preference` must be nonnegative numbers"):
        aggregators.mean(preference=(1.0, -1.0))
