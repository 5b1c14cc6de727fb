import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax.aggregators._cosmos import cosmos, cosmos_weights

SEATS = 5


def weigh(losses, penalty=1.0, preference=None):
    """Weights, with absent players behind so that one program serves all."""
    count = len(losses)
    if preference is None:
        preference = np.full(count, 1 / count)
    padded = [np.pad(x, (0, SEATS - count), constant_values=9.0) for x in (losses,)]
    wish = np.pad(preference, (0, SEATS - count))
    found = stepping.call(
        cosmos_weights, padded[0], penalty, wish, np.arange(SEATS) < count
    )
    assert not np.any(found[count:])
    return found[:count]


def slopes(losses, penalty, wish):
    """Differences of the scalarized loss itself, in float64."""

    def loss(x):
        return wish @ x - penalty * wish @ x / np.linalg.norm(wish) / np.linalg.norm(x)

    sides = 1e-6 * np.linalg.norm(losses) * np.eye(len(losses))
    rises = [loss(losses + side) - loss(losses - side) for side in sides]
    return np.array(rises) / (2 * sides[0, 0])


@pytest.mark.parametrize("case", goldens.DATA["scalarizers"])
def test_recorded(case):
    recorded = goldens.DATA["scalarizers"][case]
    losses = np.array(recorded["losses"])
    expected = recorded["results"]["COSMOS"]["grad"]
    found = weigh(losses, 1.0, goldens.preference(losses))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_slopes_of_the_scalarized_loss():
    rng = np.random.default_rng(0)
    for penalty in (0.0, 0.5, 8.0):
        losses, wish = rng.uniform(0.1, 2.0, size=(2, 4))
        found = weigh(losses, penalty, wish)
        np.testing.assert_allclose(found, slopes(losses, penalty, wish), rtol=1e-4)


def test_losses_of_any_size():
    losses, wish = np.array([3.0, 4.0]), np.array([1.0, 0.0])
    for unit in (1e-15, 1.0, 1e15, 1e25):
        found = weigh(losses * unit, 5.0 * unit, wish)
        np.testing.assert_allclose(found, [0.36, 0.48], rtol=1e-5)
    np.testing.assert_allclose(weigh(np.zeros(2), 5.0, wish), wish)


def test_absent_players():
    stepping.check_absent_players(cosmos(), losses=stepping.LOSSES)


def test_schedule_and_preference_argument():
    g, wish = np.eye(3), np.array([0.2, 0.3, 0.5])
    growing = cosmos(lambda step: 0.5 + step)
    first, _ = stepping.step(growing, g, losses=stepping.LOSSES, preference=wish)
    expected = slopes(stepping.LOSSES.astype(float), 0.5, wish)
    np.testing.assert_allclose(first, expected, rtol=1e-4)


def test_errors():
    with pytest.raises(ValueError, match=r"`penalty` must be in \[0, inf\), got -1\.0"):
        cosmos(-1.0)
    with pytest.raises(ValueError, match=r"`losses` must be passed to update for cosm"):
        stepping.step(cosmos(), np.eye(3))
