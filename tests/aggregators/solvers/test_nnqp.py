import jax
import numpy as np
import pytest
from hypothesis import given

import samplers
from neat_optax.aggregators._solvers._nnqp import nnls, nnls_onward, nnqp
from oracle import quadratic

SEATS = 7
solve = jax.jit(nnqp)


def units(j):
    return quadratic.unit_rows(np.asarray(j, float))[0]


def padded(matrix, linear):
    """Seats that are left have the solution 0."""
    count = len(matrix)
    full = np.eye(SEATS)
    full[:count, :count] = matrix
    wide = np.ones((SEATS, SEATS))
    wide[: len(linear), :count] = linear
    return np.float32(full), np.float32(wide)


def solution(matrix, linear):
    found = jax.device_get(solve(*padded(matrix, linear)))
    point = np.asarray(found.point[: len(linear), : len(matrix)], float)
    assert np.all(found.point[:, len(matrix) :] <= 1e-6)
    return point, np.asarray(found.residual[: len(linear)])


def violation(matrix, linear, point):
    """`|min(y, Hy + c)|` relative to the largest of 1, `y` and `|c|`."""
    slack = point @ matrix + linear
    scale = np.maximum(np.max(np.abs(linear), axis=1), np.max(point, axis=1))
    return np.max(np.abs(np.minimum(point, slack)), axis=1) / np.maximum(scale, 1)


def test_by_hand():
    """Without the bound [-1, 2] / .75; on the second axis alone 1; inside 2/3 each."""
    matrix = np.array([[1.0, 0.5], [0.5, 1.0]])
    point, residual = solution(matrix, np.array([[0.0, -1.0], [-1.0, -1.0]]))
    np.testing.assert_allclose(point, [[0.0, 1.0], [2 / 3, 2 / 3]], rtol=1e-6)
    assert np.all(residual <= 1e-6)


def test_nothing_to_gain():
    point, residual = solution(np.eye(3), np.array([[0.0, 1.0, 2.0]]))
    np.testing.assert_array_equal(point, np.zeros((1, 3)))
    np.testing.assert_array_equal(residual, [0.0])


@pytest.mark.parametrize("promised", [1e-4, 1e-7])
def test_directions_without_curvature_are_not_followed(promised):
    """Rows that oppose one another: a step to nowhere promises a little for ever."""
    rng = np.random.default_rng(0)
    for rank in (1, 2, 3):
        rows = rng.normal(size=(SEATS, rank))
        rows[1], rows[3] = -rows[0], -rows[2]
        matrix = units(rows) @ units(rows).T
        linear = matrix + promised * rng.normal(size=matrix.shape)
        found = jax.device_get(solve(np.float32(matrix), np.float32(linear)))
        assert np.abs(found.point).max() < 1e3


@given(samplers.players())
def test_optimal_for_every_right_hand_side(j):
    """Of random rows, their own cosines: what UPGrad solves."""
    matrix = units(j) @ units(j).T
    point, residual = solution(matrix, matrix)
    assert np.all(point >= 0)
    assert np.all(residual <= 2e-6)
    # What is said of the residual is true, but for the rounding of the matrix.
    assert np.all(violation(matrix, matrix, point) <= residual + 2e-6)


@pytest.mark.parametrize("sampler", ["degenerate", "stationary", "improvable"])
def test_optimal_where_the_matrix_is_singular_or_nearly(sampler):
    @given(getattr(samplers, sampler)())
    def check(j):
        matrix = units(j) @ units(j).T + np.diag(np.all(j == 0, axis=1) * 1.0)
        point, residual = solution(matrix, matrix)
        assert np.all(violation(matrix, matrix, point) <= residual + 2e-6)
        assert np.all(residual <= 1e-5)

    check()


@given(samplers.players(shapes=[(3, 10), (5, 20)]), samplers.seeds)
def test_agrees_with_nonnegative_least_squares(j, seed):
    """`min |U' y - t|` has the matrix `U U'` and the linear term `-U t`."""
    target = np.random.default_rng(seed).normal(size=j.shape[1])
    rows = units(j)
    expected = quadratic.nonnegative_least_squares(rows.T, target)
    point, _ = solution(rows @ rows.T, -(rows @ target)[None])
    np.testing.assert_allclose(point[0], expected, atol=2e-4 * np.max(expected + 1))


@pytest.mark.parametrize("tilt", [1e-2, 1e-4])
def test_least_squares_where_their_products_round_to_singular(tilt):
    """`[1, 0]`, `[-1, t]` and the target `[0, -1]`: `y_1 = y_2 = 1 / t`."""
    factor = np.array([[1, 0], [-1, tilt]], np.float32)
    found = jax.jit(nnls)(factor, np.array([[0, -1]], np.float32))
    np.testing.assert_allclose(found.point, [[1 / tilt, 1 / tilt]], rtol=1e-5)
    np.testing.assert_allclose(found.flattest, tilt**2 / 2, rtol=0.1)


def test_onward_from_a_point_whose_slope_is_known():
    """`y = [1, 1]` is optimal, at `[1.5, 1]` the slope is `[.5, .25]`."""
    factor = np.array([[1, 0], [0.5, np.sqrt(0.75)]], np.float32)
    point, slope = np.array([[1.5, 1]], np.float32), np.array([[0.5, 0.25]], np.float32)
    found = jax.jit(nnls_onward)(factor, point, slope)
    np.testing.assert_allclose(found.point, [[1.0, 1.0]], rtol=1e-6)


def test_stays_small_where_rounding_makes_the_matrix_indefinite():
    """Six gradients in two dimensions: a combination has no length, but a product."""
    rng = np.random.default_rng(1)
    rows = units(rng.normal(size=(SEATS, 2)) @ rng.normal(size=(2, 9)))
    matrix = rows @ rows.T
    found = jax.device_get(solve(*padded(matrix - 4e-7 * np.eye(SEATS), matrix)))
    assert np.max(found.point) < 10
    assert np.max(found.residual) <= 1e-5


@pytest.mark.slow
def test_vmap_equals_a_loop():
    rng = np.random.default_rng(0)
    rows = [units(rng.normal(size=(SEATS, 9))) for _ in range(3)]
    matrices = np.float32([u @ u.T for u in rows])
    together = jax.device_get(jax.jit(jax.vmap(nnqp))(matrices, matrices))
    for index, matrix in enumerate(matrices):
        alone = solve(matrix, matrix)
        np.testing.assert_allclose(together.point[index], alone.point, atol=1e-5)


@pytest.mark.slow
def test_float64():
    with jax.enable_x64(True):
        rows = units(np.random.default_rng(0).normal(size=(5, 9)))
        found = jax.device_get(solve(rows @ rows.T, rows @ rows.T))
        assert found.point.dtype == np.float64
        assert np.all(found.residual <= 1e-14)
