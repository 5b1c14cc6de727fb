import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from neat_optax.aggregators._solvers._vertex import best_vertex


def solve(gains, matrix, bounds, total):
    given = (np.asarray(x, np.float32) for x in (gains, matrix, bounds, total))
    point, feasible = best_vertex(*given)
    return np.asarray(point, float), bool(feasible)


def programs(count, dimension, seed):
    """Gains, and constraints that no direction of unit rows may harm some of them."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, dimension))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    matrix = rows @ rows.T
    bounds = np.where(rng.uniform(size=count) < 0.4, 3.0, 0.0)
    return matrix @ rng.normal(size=count), -matrix, bounds, np.ones(count)


def check(count, seeds):
    for seed in seeds:
        dimension = (2 * count, count, 2)[seed % 3]
        gains, matrix, bounds, total = programs(count, dimension, seed)
        oracle = linprog(-gains, matrix, bounds, total[None], [1.0])
        point, feasible = solve(gains, matrix, bounds, total)
        assert feasible
        # Corners may tie: the value, and how much of a constraint is missed.
        gap = (-oracle.fun - gains @ point) / np.abs(gains).max()
        assert abs(gap) < 1e-5
        assert np.max(matrix @ point - bounds) < 1e-5
        assert abs(np.sum(point) - 1) < 1e-5
        assert np.min(point) >= 0


def test_agrees_with_scipy():
    check(6, range(12))


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 16, 64])
def test_agrees_with_scipy_in_any_size(count):
    check(count, range(24))


def test_by_hand():
    # x + 2 y on the segment x + y = 1 with y <= x + 1/2: y = 3/4
    point, feasible = solve([1, 2, 0], [[-1, 1, 0]], [0.5], [1, 1, 0])
    np.testing.assert_allclose(point, [0.25, 0.75, 0.0], rtol=1e-6)
    assert feasible


def test_an_equation_that_cannot_hold():
    _, feasible = solve([1, 1], [[1, 0], [0, 1]], [0.1, 0.1], [1, 1])
    assert not feasible


def test_a_cycle_of_the_steepest_rule_ends():
    """Beale's example, whose ties lead the steepest rule around."""
    matrix = [[0.25, -60, -1 / 25, 9, 0], [0.5, -90, -1 / 50, 3, 0], [0, 0, 1, 0, 0]]
    gains, bounds = [0.75, -150, 1 / 50, -6, 0], [0, 0, 1]
    total = [0.001, 0, 0, 0, 1]
    point, feasible = solve(gains, matrix, bounds, total)
    oracle = linprog(-np.array(gains), matrix, bounds, [total], [1.0])
    assert feasible
    np.testing.assert_allclose(np.dot(gains, point), -oracle.fun, rtol=1e-4)


def test_derivative_is_that_of_the_corner():
    matrix, total = jnp.array([[-1.0, 1.0]]), jnp.ones(2)
    corner = lambda b: best_vertex(jnp.array([1.0, 2.0]), matrix, b, total).point  # noqa: E731
    slopes = jax.jacrev(corner)(jnp.array([0.5]))
    np.testing.assert_allclose(slopes[:, 0], [-0.5, 0.5], rtol=1e-6)
