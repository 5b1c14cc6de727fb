import json
import pathlib

import numpy as np
import pytest

import stepping
from neat_optax.aggregators._pmgda import pmgda, pmgda_weights

SEATS = 5
RECORDED = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "preferences.json").read_text()
)["pmgda"]


def weigh(j, losses, wish, tolerance=0.01, sigma=0.95, tangent=True, ideal=0.0):
    """Weights, with absent players behind so that one program serves all."""
    count = len(j)
    rows = np.pad(np.asarray(j, np.float32), ((0, SEATS - count), (0, 0)))
    rest = (0, SEATS - count)
    found = stepping.call(
        _tangent if tangent else _plain,
        rows @ rows.T,
        np.pad(losses, rest, constant_values=9.0),
        np.pad(wish, rest),
        tolerance,
        sigma,
        np.pad(np.broadcast_to(ideal, count), rest),
        np.arange(SEATS) < count,
    )
    assert not np.any(found[count:])
    return found[:count]


def _tangent(gramian, losses, wish, tolerance, sigma, ideal, present):
    given = losses, wish, tolerance, sigma, ideal
    return pmgda_weights(gramian, *given, True, present)


def _plain(gramian, losses, wish, tolerance, sigma, ideal, present):
    given = losses, wish, tolerance, sigma, ideal
    return pmgda_weights(gramian, *given, False, present)


def constraint(j, losses, wish):
    """The unit gradient of the distance from the direction."""
    wish = np.array(wish) / np.linalg.norm(wish)
    away = losses - (losses @ wish) * wish
    along = away @ j
    return along / np.linalg.norm(along)


@pytest.mark.parametrize("case", RECORDED)
def test_recorded(case):
    names = ("gradients", "losses", "preference", "tolerance", "sigma", "tangent")
    j = np.array(case["gradients"])
    expected = case["weights"] @ j
    update = weigh(*(case[name] for name in names)) @ j
    np.testing.assert_allclose(update, expected, atol=5e-5 * np.abs(expected).max())


def test_units_and_ideals():
    """The unit of the losses is that of the tolerance; a correction has none."""
    case = RECORDED[0]
    given = np.array(case["losses"]), case["preference"]
    for unit in (1e-12, 1e12):
        rows = unit * np.array(case["gradients"])
        losses = unit * (given[0] + 0.5)
        more = 0.01 * unit, case["sigma"], True, 0.5 * unit
        found = weigh(rows, losses, given[1], *more) @ rows
        expected = case["weights"] @ np.array(case["gradients"])
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_corrections_follow_the_constraint():
    rng = np.random.default_rng(0)
    for sigma in (0.1, 0.5, 0.95):
        j, (losses, wish) = rng.normal(size=(4, 6)), rng.uniform(0.2, 2, size=(2, 4))
        update = weigh(j, losses, wish, 0.01, sigma) @ j
        assert update @ constraint(j, losses, wish) > sigma - 1e-5


def test_predictions_keep_the_constraint_and_raise_no_loss():
    rng = np.random.default_rng(1)
    for _ in range(10):
        j, (losses, wish) = rng.normal(size=(3, 6)), rng.uniform(0.2, 2, size=(2, 3))
        update = weigh(j, losses, wish, tolerance=9.0) @ j
        assert abs(update @ constraint(j, losses, wish)) < 1e-5
        assert np.min(j @ update) > -1e-5


def test_players_without_a_gradient_or_a_loss():
    j = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    found = weigh(j, np.array([1.0, 2.0, 3.0]), np.ones(3))
    assert found[1] == 0
    assert np.linalg.norm(found @ j) > 0.5
    found = weigh(np.eye(3), np.array([np.nan, 1.0, 3.0]), np.ones(3))
    assert found[0] == 0
    assert np.all(np.isfinite(weigh(0 * j, np.array([1.0, 2.0, 3.0]), np.ones(3))))


def test_absent_players():
    stepping.check_absent_players(pmgda(), losses=stepping.LOSSES)


def test_errors():
    with pytest.raises(ValueError, match=r"`sigma` must be in \[0, 1\], got 2\.0"):
        pmgda(sigma=2.0)
    with pytest.raises(ValueError, match=r"`tolerance` must be in \[0, inf\), got -1"):
        pmgda(-1.0)
    with pytest.raises(ValueError, match=r"`tangent` must be True or False, got 1"):
        pmgda(tangent=1)
    with pytest.raises(
        ValueError, match=r"`losses` must be passed to update for pmgda"
    ):
        stepping.step(pmgda(), np.eye(3))
