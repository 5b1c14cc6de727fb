import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax.aggregators._pbi import pbi, pbi_weights

SEATS = 5


def weigh(losses, theta=5.0, preference=None, ideal=0.0):
    """Weights, with absent players behind so that one program serves all."""
    count = len(losses)
    if preference is None:
        preference = np.full(count, 1 / count)
    rest = (0, SEATS - count)
    found = stepping.call(
        pbi_weights,
        np.pad(losses, rest, constant_values=9.0),
        theta,
        np.pad(preference, rest),
        np.pad(np.broadcast_to(ideal, count), rest),
        np.arange(SEATS) < count,
    )
    assert not np.any(found[count:])
    return found[:count]


def slopes(losses, theta, wish, ideal=0.0):
    """Differences of the scalarized loss itself, in float64."""
    wish = wish / np.linalg.norm(wish)

    def loss(x):
        along = (x - ideal) @ wish
        return along + theta * np.linalg.norm(x - ideal - along * wish)

    sides = 1e-6 * np.eye(len(losses))
    rises = [loss(losses + side) - loss(losses - side) for side in sides]
    return np.array(rises) / 2e-6


@pytest.mark.parametrize("case", goldens.DATA["scalarizers"])
def test_recorded(case):
    recorded = goldens.DATA["scalarizers"][case]
    losses, result = np.array(recorded["losses"]), recorded["results"]["PBI"]
    found = weigh(losses, result["params"]["theta"], goldens.preference(losses))
    np.testing.assert_allclose(found, result["grad"], rtol=1e-5)


def test_slopes_of_the_scalarized_loss():
    rng = np.random.default_rng(0)
    for theta in (0.0, 0.5, 5.0):
        losses, wish = rng.uniform(0.1, 2.0, size=(2, 4))
        ideal = rng.uniform(-1.0, 0.1, size=4)
        found = weigh(losses, theta, wish, ideal)
        np.testing.assert_allclose(found, slopes(losses, theta, wish, ideal), rtol=1e-4)


def test_on_the_direction_the_distance_along_it_alone_counts():
    wish = np.array([0.3, 0.4])
    for unit in (1e-15, 1.0, 1e15):
        np.testing.assert_allclose(weigh(unit * wish, 5.0, wish), [0.6, 0.8], 1e-5)
    aside = np.array([2.0, 1.0])
    for unit in (1e-15, 1.0, 1e15, 1e25):
        found = weigh(unit * aside, 1.0)
        np.testing.assert_allclose(found, [np.sqrt(2), 0], atol=1e-6)
    np.testing.assert_allclose(weigh(np.zeros(2), 5.0, wish), [0.6, 0.8], rtol=1e-6)


def test_absent_players():
    stepping.check_absent_players(pbi(), losses=stepping.LOSSES)


def test_schedule_and_preference_argument():
    g, wish = np.eye(3), np.array([0.2, 0.3, 0.5])
    growing = pbi(lambda step: 0.5 + step, ideal=-1.0)
    first, _ = stepping.step(growing, g, losses=stepping.LOSSES, preference=wish)
    expected = slopes(stepping.LOSSES.astype(float), 0.5, wish, -1.0)
    np.testing.assert_allclose(first, expected, rtol=1e-4)


def test_errors():
    with pytest.raises(ValueError, match=r"`theta` must be in \[0, inf\), got -1\.0"):
        pbi(-1.0)
    with pytest.raises(ValueError, match=r"`ideal` must be in \(-inf, inf\), got nan"):
        pbi(ideal=float("nan"))
    with pytest.raises(ValueError, match=r"`losses` must be passed to update for pbi"):
        stepping.step(pbi(), np.eye(3))
