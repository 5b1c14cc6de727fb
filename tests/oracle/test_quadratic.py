"""The solvers of the oracle, by hand and by their optimality conditions."""

import numpy as np
import pytest

import aggregator_goldens as goldens
from oracle import quadratic

MATRICES = goldens.MATRICES


def test_nonnegative_least_squares_by_hand():
    """Without the sign, y = [2, -1]; with it only the first column is used."""
    columns = np.array([[1.0, 1.0], [0.0, 1.0]])
    y = quadratic.nonnegative_least_squares(columns, np.array([1.0, -1.0]))
    np.testing.assert_allclose(y, [1.0, 0.0])


def test_nonnegative_least_squares_is_optimal():
    """Columns repeat, so that the answer is not unique; its conditions still hold."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        columns = np.repeat(random.normal(size=(6, 5)), 2, axis=1)
        target = random.normal(size=6)
        y = quadratic.nonnegative_least_squares(columns, target)
        slope = columns.T @ (target - columns @ y)
        assert np.all(y >= 0), seed
        assert np.all(slope <= 1e-12), seed
        np.testing.assert_allclose(slope[y > 0], 0.0, atol=1e-12)


def test_project_on_cone_by_hand():
    """Of d_1 >= 0 and d_2 >= d_1, the second is broken: [1, 0] goes to the diagonal."""
    rows = np.array([[3.0, 0.0], [-1.0, 1.0], [0.0, 0.0]])
    d = quadratic.project_on_cone(np.array([1.0, 0.0]), rows)
    np.testing.assert_allclose(d, [0.5, 0.5])


def test_project_on_cone_is_optimal():
    """In the cone, and what was taken off is at a right angle to what is left."""
    for name, rows in MATRICES.items():
        units, _ = quadratic.unit_rows(rows)
        for vector in rows:
            size = max(np.linalg.norm(vector), 1e-300)
            d = quadratic.project_on_cone(vector, rows) / size
            assert np.min(units @ d) >= -1e-13, name
            assert abs(d @ (d - vector / size)) <= 1e-13, name


def test_project_on_polyhedron_by_hand():
    """Only the bound d_1 >= 2 is broken."""
    point, y = quadratic.project_on_polyhedron(
        np.array([1.0, 5.0]), np.eye(2), np.array([2.0, 1.0])
    )
    np.testing.assert_allclose(point, [2.0, 5.0])
    np.testing.assert_allclose(y, [1.0, 0.0], atol=1e-15)


def test_a_point_within_the_bounds_stays():
    point, y = quadratic.project_on_polyhedron(
        np.array([1.0, 5.0]), np.eye(2), np.array([1.0, -1e9])
    )
    np.testing.assert_array_equal(point, [1.0, 5.0])
    np.testing.assert_array_equal(y, [0.0, 0.0])


def test_bounds_that_exclude_each_other_have_no_point():
    normals = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert quadratic.project_on_polyhedron(np.zeros(2), normals, np.ones(2)) is None


@pytest.mark.parametrize("factor", [1e-150, 1.0, 1e150])
def test_min_norm_by_hand(factor):
    """[1, 0] and [0, 2]: a fifth of the second and the rest of the first."""
    d = quadratic.min_norm(factor * np.array([[1.0, 0.0], [0.0, 2.0]]))
    np.testing.assert_allclose(d / factor, [0.8, 0.4])


def test_min_norm_is_optimal():
    """No row has a smaller inner product with it than it has with itself."""
    for name, matrix in MATRICES.items():
        rows = matrix / np.linalg.norm(matrix)
        d = quadratic.min_norm(rows)
        assert np.min(rows @ d) >= d @ d - 1e-14, name


def test_a_zero_row_makes_the_shortest_vector_zero():
    d = quadratic.min_norm([[1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(d, [0.0, 0.0])


def test_project_on_simplex_by_hand():
    """Taking off .25 and cutting at 0 gives the sum 1."""
    nearest = quadratic.project_on_simplex(np.array([1.0, 0.5, -1.0]))
    np.testing.assert_allclose(nearest, [0.75, 0.25, 0.0])


def test_unit_rows_of_any_length():
    units, lengths = quadratic.unit_rows(np.array([[3e200, 4e200], [0.0, 0.0]]))
    np.testing.assert_allclose(units, [[0.6, 0.8], [0.0, 0.0]])
    np.testing.assert_allclose(lengths, [5e200, 0.0])


@pytest.mark.parametrize("bad", [[1.0, 2.0], np.zeros((0, 2))])
def test_what_is_not_a_matrix_with_rows_is_refused(bad):
    with pytest.raises(ValueError, match=r"`j` must have the shape \[P, N\]"):
        quadratic.matrix(bad)
