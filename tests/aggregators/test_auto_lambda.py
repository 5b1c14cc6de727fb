import json
import pathlib

import numpy as np
import optax
import pytest

import stepping
from neat_optax import aggregators

DATA = pathlib.Path(__file__).parents[1] / "data" / "gradient_methods.json"
RECORDED = json.loads(DATA.read_text())["auto_lambda"]
RULE = optax.adam(0.05)
TX = aggregators.auto_lambda(
    RECORDED["step_size"],
    RULE,
    num_players=3,
    start=RECORDED["start"],
    preference=tuple(RECORDED["preference"]),
)
SGD = aggregators.auto_lambda(1.0, optax.sgd(0.1), num_players=3)


def stacked(name):
    return np.array([step[name] for step in RECORDED["steps"]])


def test_recorded():
    g, second = stacked("gradients"), stacked("validation")
    rule = aggregators.auto_lambda_slopes
    wanted = np.array(RECORDED["preference"], float)
    found = [
        stepping.call(rule, a @ b.T, wanted, RECORDED["step_size"])
        for a, b in zip(g, second, strict=True)
    ]
    np.testing.assert_allclose(found, stacked("meta_gradient"), rtol=1e-4)
    updates, state = stepping.play(TX, g, second_batch=second)
    weights = stacked("weights")
    np.testing.assert_allclose(state.weighting.values[0], weights[-1], atol=2e-6)
    for update, w, j in zip(updates, weights, g, strict=True):
        np.testing.assert_allclose(update, w @ j, rtol=1e-4, atol=1e-4)


def test_by_hand():
    """The first agrees with all, the second with nobody, the third is absent."""
    g = np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    second = np.array([[2.0, -1.0], [1.0, -2.0], [7.0, 7.0]])
    present = np.array([True, True, False])
    update, state = stepping.step(SGD, g, second_batch=second, present=present)
    weights = state.weighting.values[0]
    np.testing.assert_allclose(weights, [0.1 + 0.3, 0.1 - 0.3, 0.1], rtol=1e-6)
    np.testing.assert_allclose(update, weights[:2], rtol=1e-6)


def test_very_long_gradients():
    update, state = stepping.step(TX, np.eye(3, 5) * 1e25)
    np.testing.assert_allclose(state.weighting.values[0], [0.15, 0.1, 0.15], rtol=1e-5)
    assert np.all(np.isfinite(update))


@pytest.mark.slow
def test_absent_players():
    stepping.check_absent_players(aggregators.auto_lambda(num_players=3))


def test_errors():
    with pytest.raises(ValueError, match=r"`step_size` must be in \(0, inf\), got 0"):
        aggregators.auto_lambda(0.0, num_players=2)
    with pytest.raises(ValueError, match="`start` must be in"):
        aggregators.auto_lambda(start=float("nan"), num_players=2)
