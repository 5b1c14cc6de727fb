import json
import pathlib

import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax import aggregators
from neat_optax.aggregators import sven_weights

DATA = pathlib.Path(__file__).parents[1] / "data" / "gradient_methods.json"
RECORDED = json.loads(DATA.read_text())["sven"]["cases"]
SEATS = 6


def weigh(j, losses, rtol=1e-3, rank=SEATS, kappa=2.0):
    """With zero rows behind: one shape for all."""
    rest = SEATS - len(j)
    padded = np.pad(j, [(0, rest), (0, 0)]), np.pad(losses, (0, rest))
    gramian = padded[0] @ padded[0].T
    given = gramian, padded[1], rtol
    rule = lambda *given: sven_weights(*given, rank=rank, kappa=kappa)  # noqa: E731
    return stepping.call(rule, *given)[: len(j)]


@pytest.mark.parametrize("case", RECORDED)
def test_recorded(case):
    """All singular values, the largest two, large ones, and more rows than columns."""
    j, losses = np.array(case["gradients"]), np.array(case["losses"])
    found = weigh(j, losses, case["rtol"], case["rank"]) @ j
    assert goldens.error(found, case["update"], j) < 1e-4


@pytest.mark.parametrize("kappa", [1.0, 3.0])
def test_powers_of_losses(kappa):
    """By the pseudo-inverse of the Jacobian of the powers."""
    rng = np.random.default_rng(0)
    j, losses = rng.normal(size=(4, 7)), np.array([0.5, 2.0, 0.0, 1.0])
    powers = losses ** (kappa / 2)
    slopes = np.where(losses > 0, kappa / 2 * powers / np.maximum(losses, 1e-9), 0)
    expected = np.linalg.pinv(slopes[:, None] * j) @ powers
    np.testing.assert_allclose(weigh(j, losses, kappa=kappa) @ j, expected, rtol=1e-4)


@pytest.mark.parametrize("unit", [1e-15, 1.0, 1e15])
def test_one_step_solves_linear_residuals(unit):
    """In any unit; residuals have signs."""
    rng = np.random.default_rng(1)
    j, residuals = rng.normal(size=(3, 5)), np.array([1.0, -2.0, 0.5])
    update, _ = stepping.step(TX, j * unit, losses=residuals * unit)
    np.testing.assert_allclose(j @ update, residuals, rtol=1e-4)


TX = aggregators.sven()


def test_short_gradients_stay_finite():
    update, _ = stepping.step(TX, 1e-25 * np.eye(3, 5), losses=np.ones(3))
    assert np.all(np.isfinite(update))


def test_a_loss_that_is_not_finite_leaves_its_player_out():
    j = np.array([[1.0, 0, 0], [1.0, 1.0, 0], [0, 0, 2.0]])
    update, _ = stepping.step(TX, j, losses=np.array([2.0, np.nan, 4.0]))
    np.testing.assert_allclose(update, [2.0, 0.0, 2.0], rtol=1e-5)


@pytest.mark.slow
def test_absent_players():
    stepping.check_absent_players(TX, losses=stepping.LOSSES)


def test_errors():
    with pytest.raises(ValueError, match=r"`rtol` must be in \[0, 1\), got 1.0"):
        aggregators.sven(1.0)
    with pytest.raises(ValueError, match="`rank` must be an integer >= 1, got 0"):
        aggregators.sven(rank=0)
    with pytest.raises(ValueError, match=r"`kappa` must be in \(0, inf\), got 0.0"):
        aggregators.sven(kappa=0.0)
