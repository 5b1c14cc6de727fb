import numpy as np

import running
from neat_optax.experiments.benchmarks.pinn import problem
from neat_optax.experiments.benchmarks.pinn.equations import BURGERS


def test_every_slice_of_a_coordinate_holds_one_point():
    points = problem.in_box(BURGERS, np.random.default_rng(0), 3, 10)
    low, high = np.array(BURGERS.low), np.array(BURGERS.high)
    slices = np.floor((points - low) / (high - low) * 10).astype(int)
    assert points.shape == (3, 10, 2)
    np.testing.assert_array_equal(np.sort(slices, axis=1)[2, :, 1], np.arange(10))
    assert (slices[0] != slices[1]).any()
    assert (slices[0, :, 0] != slices[0, :, 1]).any()


def test_points_are_moved_onto_the_sides_in_turn():
    points = np.full((1, 8, 3), 0.5, np.float32)
    moved = problem.at_sides([(-1, 1), (-2, 2)])(points)
    np.testing.assert_array_equal(moved[0, :4, 0], [-1, 1, 0.5, 0.5])
    np.testing.assert_array_equal(moved[0, 4:, 1], [0.5, 0.5, -2, 2])
    np.testing.assert_array_equal(problem.at(2, 0.0)(points)[..., 2], 0)
    assert (points == 0.5).all() and (moved[..., 2] == 0.5).all()


def test_a_jet_holds_the_derivatives_of_any_function():
    points = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)

    def field(p):
        return p[:, :1] ** 3 * p[:, 1:]

    jet = running.quick_jit(lambda p: problem.jet_of(field, p, (0,)))(points)
    x, y = points.T
    np.testing.assert_allclose(jet.value[:, 0], x**3 * y)
    np.testing.assert_allclose(jet.first[0][:, 0], 3 * x**2 * y)
    np.testing.assert_allclose(jet.first[1][:, 0], x**3)
    np.testing.assert_allclose(jet.second[0][:, 0], 6 * x * y)


def test_a_problem_can_end_earlier():
    early = problem.until(BURGERS, 0.5)
    whole, part = BURGERS.reference(), early.reference()
    assert early.high == (1, 0.5)
    assert part.axes[1].max() <= 0.5 < whole.axes[1].max()
    np.testing.assert_array_equal(part.values, whole.values[:, : len(part.axes[1])])
