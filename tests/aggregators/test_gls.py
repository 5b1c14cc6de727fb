import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax.aggregators._gls import gls, gls_weights


def weigh(losses):
    return stepping.call(gls_weights, np.array(losses))


def test_by_hand():
    # the geometric mean of 1 and 4 is 2
    np.testing.assert_allclose(weigh([1.0, 4.0]), [1.0, 0.25], 1e-6)


@pytest.mark.parametrize("case", goldens.DATA["scalarizers"])
def test_recorded(case):
    recorded = goldens.DATA["scalarizers"][case]
    expected = recorded["results"]["GeometricMean"]["grad"]
    weights = weigh(recorded["losses"])
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_absent_players():
    stepping.check_absent_players(gls(), losses=stepping.LOSSES)


def test_losses_without_a_logarithm_are_left_out():
    weights = weigh([1.0, 0.0, -2.0, np.nan, 4.0])
    np.testing.assert_allclose(weights, [1.0, 0.0, 0.0, 0.0, 0.25], rtol=1e-6)
    np.testing.assert_array_equal(weigh(np.zeros(2)), 0)


def test_units_of_losses_do_not_turn_the_update():
    losses = np.array([0.5, 2.0, 1.0])
    units = np.array([1e-3, 1.0, 1e6])
    weights, scaled = weigh(losses), weigh(losses * units) * units
    np.testing.assert_allclose(scaled / scaled[0], weights / weights[0], rtol=1e-5)


def test_missing_losses():
    tx = gls()
    with pytest.raises(ValueError, match=r"`losses` must be passed to update for gls"):
        stepping.step(tx, np.eye(2))
