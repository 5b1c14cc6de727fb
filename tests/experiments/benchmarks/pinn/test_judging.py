import numpy as np

from neat_optax.experiments.benchmarks.pinn import judging
from neat_optax.experiments.benchmarks.pinn.problem import Solution

AXES = (np.arange(100.0), np.arange(7.0), np.arange(3.0))
VALUES = np.random.default_rng(0).uniform(size=(100, 7, 3, 2))


def test_each_point_selects_or_tests():
    halves = judging.halve(Solution(AXES, VALUES))
    rows = np.concatenate([halves.validation.rows, halves.test.rows])
    np.testing.assert_array_equal(np.sort(rows), np.arange(100 * 7 * 3))
    x = np.asarray(halves.test.x).astype(int)
    np.testing.assert_allclose(halves.test.y, VALUES[tuple(x.T)], rtol=1e-6)


def test_a_picture_keeps_the_largest_error_of_each_block():
    error = np.zeros((100, 7))
    error[40, 3] = 2.0
    found = judging.read(judging.written(error), error.shape)
    assert found.shape == (32, 7)
    assert found.max() == 2 and found.sum() == 2
    assert found[13, 3] == 2  # the block of rows 40 to 42


def test_a_picture_shows_the_middle_of_what_lies_behind():
    shown = VALUES[judging.plane_of(Solution(AXES, VALUES))]
    np.testing.assert_array_equal(shown, VALUES[:, :, 1, 0])


def test_errors_of_networks_are_relative_to_the_solution():
    solution = Solution(AXES[:2], np.full((100, 7, 1), 2.0))
    half = judging.halve(solution).test
    found = judging.scores_of(
        lambda params, x: params + 0 * x[:, :1], solution, np.float32([3, 2]), half
    )
    np.testing.assert_allclose(found["relative_l2"], [0.5, 0], atol=1e-6)
    np.testing.assert_allclose(found["mse"], [1, 0], atol=1e-6)
    assert judging.read(found["picture"][0], (100, 7)).min() == 1
