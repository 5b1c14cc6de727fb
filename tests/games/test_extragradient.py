"""Two-phase steps: rates in closed form, and Extra-Adam written out in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import running
from neat_optax import games

TURN = np.array([[0.3, 1.0], [-1.0, 0.2]])
START = np.array([1.0, 0.5])
RATE = 0.2


def field(z):
    return jnp.asarray(TURN, jnp.float32) @ z


def points(tx, steps, *, ahead=False):
    """Where the parameters are after each step, and the last state."""

    @running.quick_jit
    def run(z):
        def step(carry, _):
            z, state = carry
            extra = {"grad_fn": field} if ahead else {}
            updates, state = tx.update(field(z), state, z, **extra)
            z = optax.apply_updates(z, updates)
            return (z, state), z

        return jax.lax.scan(step, (z, tx.init(z)), None, length=steps)

    (_, state), found = run(START.astype(np.float32))
    return np.asarray(found), state


def test_with_sgd_it_is_a_power_of_a_matrix():
    found, _ = points(games.extragradient(optax.sgd(RATE)), 20, ahead=True)
    step = np.eye(2) - RATE * TURN @ (np.eye(2) - RATE * TURN)
    expected = np.linalg.matrix_power(step, 20) @ START
    np.testing.assert_allclose(found[-1], expected, rtol=1e-4)


def adam():
    """Adam with decay of the weights, in float64."""
    m, v, t = np.zeros(2), np.zeros(2), 0

    def update(g, z):
        nonlocal m, v, t
        m, v, t = 0.5 * m + 0.5 * g, 0.9 * v + 0.1 * g**2, t + 1
        step = m / (1 - 0.5**t) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
        return -RATE * (step + 0.1 * z)

    return update


ADAM = functools.partial(optax.adamw, RATE, b1=0.5, b2=0.9, weight_decay=0.1)


def test_extra_adam_has_moments_of_both_gradients():
    found, _ = points(games.extragradient(ADAM()), 6, ahead=True)
    z, update, expected = START, adam(), []
    for _ in range(6):
        there = z + update(TURN @ z, z)
        z = z + update(TURN @ there, z)
        expected.append(z)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_extra_adam_from_the_past_sees_each_gradient_twice():
    """The caller's points are those ahead; the state has the way back."""
    found, state = points(games.past_extragradient(ADAM()), 6)
    z, there, update, expected = START, START, adam(), []
    for _ in range(6):
        g = TURN @ there
        z = z + update(g, z)
        there = z + update(g, z)
        expected.append(there)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[-1] - state.ahead, z, rtol=1e-4, atol=1e-5)


def test_past_extragradient_with_sgd_is_optimistic_from_the_second_step():
    """The first step goes twice as far, since nothing was extrapolated before."""
    found, _ = points(games.past_extragradient(optax.sgd(RATE)), 20)
    z = [START, START - 2 * RATE * TURN @ START]
    for _ in range(19):
        z.append(z[-1] - 2 * RATE * TURN @ z[-1] + RATE * TURN @ z[-2])
    np.testing.assert_allclose(found, z[1:], rtol=1e-4, atol=1e-6)


def test_low_precision_stays_low():
    tx = games.past_extragradient(optax.sgd(RATE))

    def step(z):
        updates, state = tx.update(z, tx.init(z), z)
        return updates, state.ahead

    found = jax.eval_shape(step, jnp.zeros(2, jnp.bfloat16))
    assert [one.dtype for one in found] == [jnp.bfloat16] * 2


def test_what_is_missing_is_named():
    tx = games.extragradient(optax.sgd(RATE))
    z = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="`grad_fn` must be passed to update"):
        jax.eval_shape(lambda z: tx.update(z, tx.init(z), z), z)
    past = games.past_extragradient(optax.sgd(RATE))
    with pytest.raises(ValueError, match="`params` must be passed to update"):
        jax.eval_shape(lambda z: past.update(z, past.init(z)), z)
