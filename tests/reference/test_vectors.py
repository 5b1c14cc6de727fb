"""Vector primitives of the oracle, by hand."""

import numpy as np
import pytest

from neat_optax.compat import NEATConfig
from neat_optax.reference import _vectors as v

ZERO = np.zeros(2)
EAST = np.array([2.0, 0.0])
WEST = np.array([-3.0, 0.0])
NORTH = np.array([0.0, 5.0])


def test_dot_and_norm():
    assert v.dot(EAST, WEST) == -6.0
    assert v.norm(np.array([3.0, 4.0])) == 5.0
    assert v.norm(np.array([3.0 + 4.0j])) == 5.0
    assert v.dot(np.array([1j]), np.array([1.0])) == 0.0


@pytest.mark.parametrize(
    ("gradient", "opponent", "conflict"),
    [(EAST, WEST, 1.0), (EAST, EAST, 0.0), (EAST, NORTH, 0.0), (EAST, ZERO, 0.0)],
)
def test_conflict(gradient, opponent, conflict):
    assert v.conflict(gradient, opponent) == conflict


def test_project():
    np.testing.assert_allclose(v.project(np.array([3.0, 4.0]), WEST), [3.0, 0.0])
    np.testing.assert_array_equal(v.project(EAST, ZERO), ZERO)


def test_unit_of_zero_is_zero():
    np.testing.assert_array_equal(v.unit(ZERO), ZERO)
    np.testing.assert_array_equal(v.unit(WEST), [-1.0, 0.0])


def test_limit():
    np.testing.assert_allclose(v.limit(WEST, 1.0), [-1.0, 0.0])
    np.testing.assert_array_equal(v.limit(WEST, 4.0), WEST)


def test_centralize_leaves_vectors_alone():
    np.testing.assert_array_equal(v.centralize(EAST), EAST)
    matrix = np.array([[1.0, 2.0], [3.0, 6.0]])
    np.testing.assert_array_equal(v.centralize(matrix), [[-1.0, -2.0], [1.0, 2.0]])


def test_thresholds():
    values = np.array([0.5, -0.25, -1.0])
    np.testing.assert_array_equal(v.soften(values, 0.25), [0.25, 0.0, -0.75])
    np.testing.assert_array_equal(v.prune(values, 0.5), [0.5, 0.0, -1.0])


def test_correction_direction():
    np.testing.assert_array_equal(v.correction_direction(EAST, NORTH, "cosine"), EAST)
    np.testing.assert_array_equal(
        v.correction_direction(EAST, NORTH, "projection"), ZERO
    )


def test_scale_of():
    """|o| = 3, |g| = 2, habit .5: 1 + 3/5 + .5 = 2.1, within 1 and 2."""
    config = NEATConfig(adaptive_correction=True)
    assert v.scale_of(EAST, WEST, 0.5, config) == pytest.approx(2.1)
    low = NEATConfig(adaptive_correction=True, adaptive_correction_max_scale=2.0)
    assert v.scale_of(EAST, WEST, 0.5, low) == 2.0
    assert v.scale_of(EAST, WEST, 0.5, NEATConfig()) == 1.0
    assert v.scale_of(ZERO, ZERO, 0.0, config) == 1.0


def test_average_and_ratio():
    assert v.average(1.0, 3.0, 0.75) == 1.5
    assert v.ratio(1.0, 4.0) == 0.25
    assert v.ratio(1.0, 0.0) == 0.0
