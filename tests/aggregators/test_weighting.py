import jax.numpy as jnp
import numpy as np
import pytest

import stepping
from neat_optax.aggregators import Decision, Players, Weighting, stateless_weighting
from neat_optax.aggregators._weighting import (
    as_decision,
    as_weighting,
    everyone,
    shares,
)

PRESENT = np.array([True, True, False])


def divided(present, preference=None):
    return stepping.call(shares, np.asarray(present), preference)


def players(**changed):
    start = Players(
        gramian=np.eye(3, dtype=np.float32),
        scale=np.float32(1),
        present=PRESENT,
        preference=None,
        losses=None,
        cross=np.eye(3, dtype=np.float32),
        step=np.int32(0),
    )
    return start._replace(**changed)


def test_shares_by_hand():
    np.testing.assert_array_equal(divided(PRESENT), [0.5, 0.5, 0.0])
    preferred = divided(PRESENT, (1.0, 3.0, 4.0))
    np.testing.assert_array_equal(preferred, [2.0, 6.0, 0.0])  # the sum stays 8
    np.testing.assert_array_equal(divided(np.zeros(3, bool)), [0.0, 0.0, 0.0])
    nobody = divided(np.zeros(3, bool), (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(nobody, [0.0, 0.0, 0.0])


def test_shares_where_all_preference_is_absent():
    np.testing.assert_array_equal(divided(PRESENT, (0.0, 0.0, 1.0)), [0.0, 0.0, 0.0])


def test_negative_and_nan_preferences_of_arrays_count_as_zero():
    given = np.array([-1.0, 2.0, np.nan])
    np.testing.assert_array_equal(divided(np.ones(3, bool), given), [0.0, 2.0, 0.0])


def test_preference_argument_overrides():
    given = players(preference=np.float32([1, 0, 0]))
    overridden, own = stepping.call(
        lambda: [one.shares((0.0, 1.0, 0.0)) for one in (given, players())]
    )
    np.testing.assert_array_equal(overridden, [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(own, [0.0, 1.0, 0.0])


def test_everyone():
    np.testing.assert_array_equal(stepping.call(everyone, np.eye(2)), [True, True])
    some = stepping.call(everyone, np.eye(2), np.array([0, 1]))
    np.testing.assert_array_equal(some, [0, 1])


def test_a_function_becomes_a_weighting():
    def double(gramian):
        return 2 * jnp.diagonal(gramian)

    weighting = as_weighting(double)
    assert weighting.name == "double"
    decision, state = weighting.weights(players(), weighting.init(None))
    np.testing.assert_array_equal(decision.weights, [2.0, 2.0, 2.0])
    assert decision.residual == 0
    assert state == ()
    assert as_weighting(weighting) is weighting


def test_stateless_weighting_keeps_a_decision():
    given = Decision(np.ones(3, np.float32), np.float32(0.5))
    weighting = stateless_weighting(lambda _: given, needs_losses=True)
    assert weighting.weights(players(), ())[0] is given
    assert weighting.needs_losses
    assert not weighting.needs_num_players
    assert isinstance(weighting, Weighting)
    assert as_decision(given) is given


def test_errors():
    with pytest.raises(ValueError, match=r"`weighting` must be a function, got 3\."):
        as_weighting(3)
    with pytest.raises(ValueError, match="`preference` must have one entry for each"):
        shares(PRESENT, (1.0, 2.0))
