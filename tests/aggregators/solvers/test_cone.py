import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import samplers
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._cone import push_smallest_gain
from oracle import aggregators as oracle

COUNT = 5


@jax.jit
def push(gramian, ratio):
    rows = correlation(gramian)
    return push_smallest_gain(rows, rows.norms / len(rows.norms), ratio), rows


def solved(j, ratio):
    """The direction, and what is said about it."""
    rows = np.asarray(j, np.float32)
    found, correlated = push(jnp.asarray(rows @ rows.T), ratio)
    added = np.asarray(found.weights * correlated.per_norm, float) @ j
    return np.mean(j, axis=0) + added, found


def test_by_hand():
    """Of -2 and 1, with the mean -.5 and the radius .25: the second is worst off."""
    found, _ = push(jnp.array([[4.0, -2.0], [-2.0, 1.0]]), 0.5)
    np.testing.assert_allclose(found.weights, [0.0, 0.25], atol=1e-6)


def test_without_a_radius_nothing_is_added():
    found, _ = push(jnp.eye(COUNT), 0.0)
    np.testing.assert_array_equal(found.weights, np.zeros(COUNT))
    assert found.residual == 0


WIDEST = pytest.param(2.0, marks=pytest.mark.slow)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, WIDEST])
@given(j=samplers.improvable(shapes=[(COUNT, 20)], decades=2.0))
def test_agrees_with_the_oracle(j, ratio):
    """In the ball, and no player gains less than the oracle's smallest gain.

    A gain is rounded in the unit of its own player: a player that is a hundred times as
    long as the shortest one has a hundred times its rounding.
    """
    direction, found = solved(j, ratio)
    assert np.all(np.asarray(found.weights) >= 0)
    mean, lengths = np.mean(j, axis=0), np.linalg.norm(j, axis=1)
    length = np.linalg.norm(mean)
    assert np.linalg.norm(direction - mean) <= (1 + 1e-5) * ratio * length
    smallest = np.min(j @ oracle.cagrad(j, ratio))
    assert np.all(j @ direction >= smallest - 1e-5 * length * lengths)


@given(samplers.stationary(shapes=[(COUNT, 20)]))
def test_of_stationary_gradients_it_is_finite_and_in_the_ball(j):
    direction, _ = solved(j, 2.0)
    mean = np.mean(j, axis=0)
    longest = np.linalg.norm(j, axis=1).max()
    distance = np.linalg.norm(direction - mean)
    # The root of the rounding of the squared length that is compared.
    assert distance <= 2 * np.linalg.norm(mean) + 3e-3 * longest


def test_zero_rows_and_a_zero_mean():
    gramian = jnp.diag(jnp.array([1.0, 0.0, 1.0, 0.0, 0.0]))
    found, _ = push(gramian, 0.5)
    assert found.weights[1] == 0
    assert found.weights[0] > 0
    np.testing.assert_allclose(found.weights[0], found.weights[2], rtol=1e-5)
    nothing, _ = push(jnp.zeros((COUNT, COUNT)), 0.5)
    np.testing.assert_array_equal(nothing.weights, np.zeros(COUNT))
