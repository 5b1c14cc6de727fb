import json
import pathlib

import numpy as np
import pytest

import stepping
from neat_optax.aggregators._pivrg import pivrg, pivrg_weights

SEATS = 5
RECORDED = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "preferences.json").read_text()
)["pivrg"]


def weigh(j, scores, bound=2.0, least=10.0):
    """Weights, with absent players behind so that one program serves all."""
    count = len(j)
    rows = np.pad(np.asarray(j, np.float32), ((0, SEATS - count), (0, 0)))
    padded = np.pad(scores, (0, SEATS - count), constant_values=1e6)
    given = rows @ rows.T, padded, bound, least, np.arange(SEATS) < count
    found = stepping.call(pivrg_weights, *given)
    assert not np.any(found[count:])
    return found[:count]


@pytest.mark.parametrize("case", RECORDED)
def test_recorded(case):
    found = weigh(case["gradients"], case["scores"], case["bound"])
    np.testing.assert_allclose(found, case["weights"], rtol=2e-5)


def test_by_hand():
    """Shares 2/3 and 4/3 at scores far apart; (G w)^2 w is the share."""
    found = weigh(np.diag([1.0, 2.0]), np.array([0.0, 300.0]))
    np.testing.assert_allclose(found**3 * [1, 16], [2 / 3, 4 / 3], rtol=1e-5)
    found = weigh(np.eye(2), np.array([0.0, 10 * np.log(1.5)]))
    np.testing.assert_allclose(found**3, [0.8, 1.2], rtol=1e-5)


def test_scores_that_are_not_finite_count_as_the_mean():
    found = weigh(np.eye(3), np.array([0.0, np.nan, 30.0]))
    expected = weigh(np.eye(3), np.array([0.0, 15.0, 30.0]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_unit_of_the_gradients():
    j, scores = np.array(RECORDED[1]["gradients"]), RECORDED[1]["scores"]
    tx = pivrg()
    usual, _ = stepping.step(tx, j, scores=np.array(scores))
    for unit in (1e-15, 1e15):
        found, _ = stepping.step(tx, unit * j, scores=np.array(scores))
        np.testing.assert_allclose(found, usual * unit ** (-1 / 3), rtol=1e-4)


def test_absent_players_and_losses_that_do_not_count():
    extra = {"losses": stepping.LOSSES, "scores": np.array([1.0, 90.0, 5.0])}
    stepping.check_absent_players(pivrg(), **extra)


def test_errors():
    with pytest.raises(ValueError, match=r"`bound` must be in \(1, inf\), got 1\.0"):
        pivrg(1.0)
    with pytest.raises(
        ValueError, match=r"`min_temperature` must be in \(0, inf\), go"
    ):
        pivrg(min_temperature=0.0)
    with pytest.raises(
        ValueError, match=r"`scores` must have one entry for each of th"
    ):
        stepping.step(pivrg(), np.eye(3), scores=np.ones(2))
