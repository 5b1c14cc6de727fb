"""The oracle of plasticity against recorded and worked numbers."""

import json
import pathlib

import numpy as np
import pytest

from oracle import plasticity as oracle

FILE = pathlib.Path(__file__).parents[1] / "data" / "neuroplastic.json"
CASES = {case["name"]: case for case in json.loads(FILE.read_text())}
NUMBERS = {
    "traj_grad_only_mnist_config": oracle.Plasticity(0, 1, 0, minimum=0.5, maximum=1.5),
    "traj_scale_0_equals_grad_only": oracle.Plasticity(strength=0.0),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_recorded_trajectories(name):
    """Plain descent with a norm clip and the original's gain."""
    case = CASES[name]
    for index, start in enumerate(case["inputs"]["params"]):
        param, history = np.asarray(start), []
        pairs = zip(case["inputs"]["grads"], case["expected"]["steps"], strict=True)
        for gradients, expected in pairs:
            history.append(np.asarray(gradients[index]))
            update = oracle.coefficient(history, NUMBERS[name]) * history[-1]
            update = update / max(1, np.linalg.norm(update))
            size = np.sqrt(np.mean(update**2))
            param = param - case["config"]["lr"] * (1 + 0.01 * (0.02 - size)) * update
            wanted = expected["params"][index]
            np.testing.assert_allclose(param, wanted, rtol=2e-5, atol=2e-6)


def test_averages_are_sums_over_the_history():
    assert oracle.average([1.0, 0.0, 4.0], 0.5) == 0.125 + 0 + 2


def test_an_orthogonal_part_is_orthogonal():
    g, s = np.array([1.0, 2.0]), np.array([3.0, -1.0])
    moved = oracle.orthogonal(g, s, 1.0, 9.0, False) - g
    np.testing.assert_allclose(moved @ g, 0, atol=1e-12)
    distance = np.linalg.norm(oracle.bounded(g, g + s, 0.1) - g)
    np.testing.assert_allclose(distance, 0.1 * np.sqrt(5))


def test_a_gain_halves_its_distance():
    gains = oracle.gains([4.0, 4.0], 1.0, 0.5, 0.01, 9.0)
    np.testing.assert_allclose(gains, [0.5, 0.5**1.5])
