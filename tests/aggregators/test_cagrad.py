import numpy as np
import pytest
from hypothesis import given

import aggregator_goldens as goldens
import samplers
import weight_rules
from neat_optax import aggregators
from oracle import aggregators as oracle


def test_by_hand():
    """Equal players: along the mean, to the edge of the ball."""
    weights = weight_rules.weights("cagrad", np.eye(2), c=0.5)
    np.testing.assert_allclose(weights, [0.75, 0.75], rtol=1e-6)
    opposed = weight_rules.update("cagrad", [[-2.0], [1.0]], c=0.5)
    np.testing.assert_allclose(opposed, [-0.25], rtol=1e-6)


@pytest.mark.parametrize("c", [0.4, 0.5, 1.0])
def test_gate_on_the_exact_answers(c):
    # The recorded answers fall short of the optimum by up to 5e-6.
    answers = goldens.cases("exact", f"CAGrad_c{c}")
    found = weight_rules.errors("cagrad", answers, goldens.MATRICES, c=c)
    assert len(found) >= 15
    assert max(found.values()) <= 1e-4, found


@pytest.mark.parametrize("c", [0.0, 0.2, 0.8, 1.5])
def test_stays_in_the_ball(c):
    for name, j in goldens.MATRICES.items():
        mean = np.mean(j, axis=0)
        added = weight_rules.weights("cagrad", j, c=c) - 1 / len(j)
        # The squared length of a sum that cancels, from float32 inner products.
        terms = np.sum(np.abs(added) + 1e-3) * np.linalg.norm(j, axis=1).max()
        rounding = 4 * np.finfo(np.float32).eps * terms**2
        radius = c * np.linalg.norm(mean) * (1 + 1e-5)
        assert np.sum((added @ j) ** 2) <= radius**2 + rounding, name


@given(samplers.improvable(decades=4.0))
def test_smallest_gain_is_that_of_the_oracle(j):
    """The answer is unique, but to first order only its smallest gain is."""
    ours, best = weight_rules.update("cagrad", j, c=0.5), oracle.cagrad(j, 0.5)
    mean = np.mean(j, axis=0)
    scale = np.linalg.norm(mean) * np.linalg.norm(j, axis=1).min()
    gain, expected = (np.min(j @ d) / scale for d in (ours, best))
    assert abs(gain - expected) <= 1e-4 * max(1.0, abs(expected))


def test_schedule():
    tx = aggregators.cagrad(lambda step: 0.5 * step)
    first, second = weight_rules.play(tx, [np.eye(2)] * 2)
    np.testing.assert_allclose(first, [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(second, [0.75, 0.75], rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match=r"`c` must be in \[0, inf\), got -1\.0\."):
        aggregators.cagrad(-1.0)
