import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax.aggregators._stch import stch, stch_weights
from stepping import LOSSES


def weigh(losses, *args):
    return stepping.call(stch_weights, np.array(losses), *args)


def test_by_hand():
    # gaps 0 and 2 ln 3, times p = 1/2: the softmax is 1/4 and 3/4
    weights = weigh([1.0, 1.0 + 2 * np.log(3)], 1.0)
    np.testing.assert_allclose(weights, [0.125, 0.375], rtol=1e-6)


@pytest.mark.parametrize("case", goldens.DATA["scalarizers"])
@pytest.mark.parametrize(
    ("name", "mu", "preferred"),
    [("STCH_mu1", 1.0, False), ("STCH_mu0.01", 0.01, False), ("STCH_pref", 0.1, True)],
)
def test_recorded(case, name, mu, preferred):
    recorded = goldens.DATA["scalarizers"][case]
    losses = recorded["losses"]
    chosen = goldens.preference(losses) if preferred else None
    weights = weigh(losses, mu, chosen)
    np.testing.assert_allclose(weights, recorded["results"][name]["grad"], 3e-4, 1e-12)


def test_absent_players():
    tx = stch(0.5, ideal=None, num_players=3)
    stepping.check_absent_players(tx, losses=LOSSES)


def test_tracked_ideal_is_the_smallest_loss():
    tx = stch(1.0, ideal=None, num_players=2)
    losses = np.array([[1.0, 3.0], [2.0, 1.0], [4.0, np.inf]])
    _, state = stepping.play(tx, [np.eye(2)] * 3, losses=losses)
    np.testing.assert_allclose(state.weighting.ideal[0], [1.0, 1.0])


def test_schedule_and_preference_argument():
    g = np.eye(3)
    chosen, growing = np.array([0.2, 0.3, 0.5]), stch(lambda step: 0.5 + step)
    first, _ = stepping.step(growing, g, losses=LOSSES, preference=chosen)
    second, _ = stepping.step(stch(0.5, preference=chosen), g, losses=LOSSES)
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_a_loss_that_is_not_finite_is_left_out():
    weights = weigh([1.0, np.nan, 1.0], 1.0)
    np.testing.assert_allclose(weights, [0.25, 0.0, 0.25])


def test_errors():
    with pytest.raises(ValueError, match=r"`mu` must be in \(0, inf\), got 0.0\."):
        stch(0.0)
    with pytest.raises(ValueError, match=r"`num_players` must be given for stch"):
        stch(ideal=None)
    with pytest.raises(ValueError, match=r"`ideal` must be in \(-inf, inf\), got nan"):
        stch(ideal=float("nan"))
    with pytest.raises(ValueError, match=r"`losses` must be passed to update for stch"):
        stepping.step(stch(), np.eye(3))
    with pytest.raises(ValueError, match=r"`ideal` must have one entry for each of th"):
        stepping.step(stch(ideal=(0.0, 0.0)), np.eye(3), losses=np.ones(3))
