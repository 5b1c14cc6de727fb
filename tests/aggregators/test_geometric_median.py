import numpy as np
from hypothesis import given

import aggregator_goldens as goldens
import samplers
import weight_rules
from oracle import robust

RULE = "geometric_median"


def spread(j, point):
    return np.sum(np.linalg.norm(j - point, axis=1))


def test_by_hand():
    """On a line it is the median, and of a square the centre."""
    line = weight_rules.update(RULE, [[0.0], [1.0], [9.0]])
    np.testing.assert_allclose(line, [1.0], rtol=1e-4)
    square = weight_rules.update(RULE, [[1.0, 1], [-1, 1], [1, -1], [-1, -1]])
    np.testing.assert_allclose(square, [0.0, 0.0], atol=1e-6)


def test_preference_of_more_than_half_is_the_median():
    j = np.array([[0.0, 3.0], [1.0, 0.0], [9.0, 1.0]])
    update = weight_rules.update(RULE, j, preference=np.array([0.1, 0.3, 0.6]))
    np.testing.assert_allclose(update, j[2], rtol=1e-4)


def test_sum_of_distances_is_that_of_the_oracle():
    """The point itself is found slowly where it is a row; its sum is flat there."""
    for name, j in goldens.MATRICES.items():
        best = spread(j, robust.geometric_median(j))
        found = spread(j, weight_rules.update(RULE, j))
        longest = np.linalg.norm(j, axis=1).max()
        assert found <= best * (1 + 1e-4) + 1e-5 * longest, name


@given(samplers.players(shapes=[(3, 10), (5, 20), (7, 7)]))
def test_agrees_with_the_oracle(j):
    found, best = weight_rules.update(RULE, j), robust.geometric_median(j)
    assert spread(j, found) <= spread(j, best) * (1 + 1e-5)
    weights = weight_rules.weights(RULE, j)
    np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-6)
    assert np.all(weights >= 0)


def test_a_minority_cannot_move_it_far():
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(5, 6))
    longest = np.linalg.norm(honest, axis=1).max()
    for scale in (1e1, 1e3, 1e5):
        hostile = scale * rng.normal(size=(2, 6))
        update = weight_rules.update(RULE, np.concatenate([honest, hostile]))
        assert np.linalg.norm(update) <= 3 * longest
