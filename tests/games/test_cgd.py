"""Competitive gradient descent against its closed form."""

import jax
import numpy as np
import pytest

import running
import small_games as small
from neat_optax import games


def test_three_players_solve_the_linear_system():
    of_game = games.value_and_grad(small.quadratic, games.cgd(0.4))
    _, grads = running.quick_jit(of_game)(small.seat(small.POINT))
    xi, jacobian = small.gradient_and_jacobian(small.POINT)
    expected = np.linalg.solve(np.eye(6) + 0.4 * small.off_diagonal(jacobian), xi)
    np.testing.assert_allclose(small.flat(grads), expected, rtol=2e-5, atol=2e-5)


MIXED = np.random.default_rng(5).normal(size=(4, 3)).astype(np.float32)
OWN = np.random.default_rng(6).normal(size=7).astype(np.float32)


def duel(players):
    """Zero-sum, with terms of each player's own that the system must leave out."""
    x, y = players["x"], players["y"]
    value = x @ MIXED @ y + OWN[:4] @ x**2 + OWN[4:] @ y**3
    return {"x": value, "y": -value}


def test_both_ways_of_a_zero_sum_game_are_the_closed_form():
    """By the two formulas of the paper, solved in float64."""
    x, y = np.linspace(-1, 1, 4), np.linspace(0.5, 1.5, 3)
    ways = [games.cgd(0.7, zero_sum=True), games.cgd(0.7)]

    @running.quick_jit
    def both(players):
        return [games.value_and_grad(duel, adjust)(players)[1] for adjust in ways]

    found = both({"x": x.astype(np.float32), "y": y.astype(np.float32)})
    d, eta = MIXED.astype(float), 0.7
    of_x = d @ y + 2 * OWN[:4] * x
    of_y = -(d.T @ x + 3 * OWN[4:] * y**2)
    one = np.linalg.solve(np.eye(4) + eta**2 * d @ d.T, of_x - eta * d @ of_y)
    two = np.linalg.solve(np.eye(3) + eta**2 * d.T @ d, of_y + eta * d.T @ of_x)
    for grads in found:
        np.testing.assert_allclose(grads["x"], one, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(grads["y"], two, rtol=1e-4, atol=1e-4)


def test_a_bilinear_game_converges_at_a_rate_that_others_leave_it_at():
    """The factor is 1 / sqrt(1 + rate^2), for any rate, here 2, and any unit."""
    adjust = games.cgd(2.0, zero_sum=True, iterations=2)
    of_game = games.value_and_grad(small.bilinear, adjust)
    start = [np.full(1, 1e-22, np.float32)] * 2
    run = jax.jit(lambda z: small.played(of_game, z, 2.0, 10)[0])
    length = np.linalg.norm(np.asarray(run(start), float))
    np.testing.assert_allclose(length * 1e22, np.sqrt(2) * 5.0**-5, rtol=1e-4)


@pytest.mark.slow
def test_iterations_are_at_most_those_asked_for():
    """One step of conjugate gradients is the best multiple of the right-hand side."""
    one = games.cgd(0.4, iterations=1)
    of_game = games.value_and_grad(small.quadratic, one)
    _, grads = running.quick_jit(of_game)(small.seat(small.POINT))
    xi, jacobian = small.gradient_and_jacobian(small.POINT)
    matrix = np.eye(6) + 0.4 * small.off_diagonal(jacobian)
    right = matrix.T @ xi
    expected = right * (right @ right) / np.sum((matrix @ right) ** 2)
    np.testing.assert_allclose(small.flat(grads), expected, rtol=2e-5, atol=2e-5)


def test_a_bad_argument_is_named():
    with pytest.raises(ValueError, match="`iterations` must be an integer >= 1"):
        games.cgd(0.1, iterations=0)
    with pytest.raises(ValueError, match="`rate` must be in"):
        games.cgd(0.0)
    of_game = games.value_and_grad(small.quadratic, games.cgd(0.1, zero_sum=True))
    with pytest.raises(ValueError, match="unless there are two players, got 3"):
        jax.eval_shape(of_game, small.seat(small.POINT))
