import json
import pathlib

import numpy as np
import pytest

import stepping
from neat_optax.aggregators._epo import epo, epo_weights

SEATS = 5
RECORDED = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "preferences.json").read_text()
)["epo"]


def weigh(j, losses, wish, relax=False, unit=1.0):
    """Weights, with absent players behind so that one program serves all."""
    count = len(j)
    rows = np.pad(unit * np.asarray(j, np.float32), ((0, SEATS - count), (0, 0)))
    rest = (0, SEATS - count)
    found = stepping.call(
        _relaxed if relax else epo_weights,
        rows @ rows.T,
        np.pad(losses, rest, constant_values=9.0),
        np.pad(wish, rest),
        present=np.arange(SEATS) < count,
    )
    assert not np.any(found[count:])
    return found[:count]


def _relaxed(gramian, losses, wish, present):
    return epo_weights(gramian, losses, wish, relax=True, present=present)


@pytest.mark.parametrize("case", RECORDED)
def test_recorded(case):
    given = case["gradients"], case["losses"], case["preference"], case["relax"]
    np.testing.assert_allclose(weigh(*given), case["weights"], atol=2e-5)


def test_units_of_gradients_and_losses():
    for case in RECORDED[:3]:
        losses = np.array(case["losses"])
        for unit in (1e-12, 1e12):
            given = losses * unit, case["preference"], case["relax"], unit
            found = weigh(case["gradients"], *given)
            np.testing.assert_allclose(found, case["weights"], atol=2e-5)


def test_the_player_with_the_largest_loss_is_not_harmed():
    rng = np.random.default_rng(0)
    for _ in range(20):
        j, (losses, wish) = rng.normal(size=(4, 6)), rng.uniform(0.2, 2, size=(2, 4))
        weights = weigh(j, losses, wish)
        gains = j @ (weights @ j)
        assert gains[np.argmax(losses * wish)] > -1e-5
        np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-5)


def test_balanced_players_descend_together():
    """Within the tolerance no loss rises; what cannot hold is dropped."""
    j = np.array([[1.0, 0.2], [-0.5, 1.0], [0.1, 0.9]])
    wish = np.array([0.5, 0.3, 0.2])
    weights = weigh(j, 1 / wish * [1.01, 1.0, 0.99], wish)
    assert np.min(j @ (weights @ j)) > -1e-6


def test_players_without_a_gradient_or_a_loss():
    j = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    equal = np.full(3, 1 / 3)
    found = weigh(j, np.array([1.0, 9.0, 3.0]), equal)
    np.testing.assert_allclose(found, [0.0, 0.0, 1.0], atol=1e-6)
    found = weigh(np.eye(3, 2) + 0.5, np.array([np.nan, 1.0, 0.0]), equal)
    assert found[0] == 0
    np.testing.assert_allclose(np.sum(found), 1.0, rtol=1e-6)
    assert not np.any(weigh(0 * j, np.ones(3), equal))


def test_absent_players():
    stepping.check_absent_players(epo(), losses=stepping.LOSSES)


def test_errors():
    with pytest.raises(ValueError, match=r"`tolerance` must be in \[0, inf\), got -1"):
        epo(-1.0)
    with pytest.raises(ValueError, match=r"`relax` must be True or False, got 1"):
        epo(relax=1)
    with pytest.raises(ValueError, match=r"`losses` must be passed to update for epo"):
        stepping.step(epo(), np.eye(3))
