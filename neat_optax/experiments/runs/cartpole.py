"""CartPole-v1: a cart is pushed left or right so that a pole on it stays upright.

The equations, limits and rewards of Gymnasium's environment, as pure functions in
float32, so that thousands of episodes run at once. A state is an array [4]: position
of the cart, its speed, angle of the pole, its speed.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax._random import as_key

NUM_STEPS = 500
"""The most steps of an episode, and so its largest return."""
SECONDS = 0.02
"""From one step to the next."""
MAX_POSITION = 2.4
MAX_ANGLE = 12 * 2 * math.pi / 360
HALF_LENGTH = 0.5
"""From the pole's foot to its centre."""
_GRAVITY, _FORCE, _START = 9.8, 10.0, 0.05
_POLE_MASS = 0.1
_MASS = 1.0 + _POLE_MASS

Policy = Callable[[jax.Array], Any]
"""From a state to an action: 0 pushes to the left, 1 to the right."""


def reset(key: jax.Array | int) -> jax.Array:
    """A state to start from: four numbers in [-0.05, 0.05)."""
    return jax.random.uniform(as_key(key), (4,), minval=-_START, maxval=_START)


def step(state: jax.Array, action: Any) -> jax.Array:
    r"""The state after one push, by one step of Euler's method.

    .. math::
        a &= (F + m l \dot\theta^2 \sin\theta) / M \\
        \ddot\theta &= \frac{g \sin\theta - a \cos\theta}
            {l (4/3 - m \cos^2\theta / M)} \\
        \ddot x &= a - m l \ddot\theta \cos\theta / M

    Args:
      state: an array [4].
      action: 0 or 1.

    Example:
      >>> print(jnp.round(1e3 * step(jnp.zeros(4), 1)))
      [   0.  195.    0. -293.]
    """
    _, speed, angle, turn = state
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    force = jnp.where(jnp.asarray(action) == 1, _FORCE, -_FORCE)
    pull = (force + _POLE_MASS * HALF_LENGTH * turn**2 * sin) / _MASS
    inertia = HALF_LENGTH * (4 / 3 - _POLE_MASS * cos**2 / _MASS)
    turning = (_GRAVITY * sin - cos * pull) / inertia
    speeding = pull - _POLE_MASS * HALF_LENGTH * turning * cos / _MASS
    return state + SECONDS * jnp.stack([speed, speeding, turn, turning])


def fallen(state: jax.Array) -> jax.Array:
    """Whether the cart is more than 2.4 away, or the pole more than 12 degrees off."""
    far = jnp.abs(state[0]) > MAX_POSITION
    return far | (jnp.abs(state[2]) > MAX_ANGLE)


def episode(
    policy: Policy, key: jax.Array | int, num_steps: int = NUM_STEPS
) -> jax.Array:
    """The return of one episode: how many steps it lasts, the one of the fall included.

    Under `vmap`, the loop goes on until the longest of the episodes has ended.

    Args:
      policy: from a state to an action.
      key: of the start.
      num_steps: the most steps.

    Returns:
      A float32 number in [1, num_steps].

    Example:
      >>> print(episode(lambda state: 1, 0))
      9.0
    """

    def goes_on(carry: Any):
        state, count = carry
        return ~fallen(state) & (count < num_steps)

    def body(carry: Any):
        state, count = carry
        return step(state, policy(state)), count + 1

    start = (reset(key), jnp.zeros((), jnp.int32))
    return jnp.float32(jax.lax.while_loop(goes_on, body, start)[1])


def episodes(
    policy: Policy, key: jax.Array | int, count: int, num_steps: int = NUM_STEPS
) -> jax.Array:
    """The returns of several episodes, an array [count]; see `episode`."""
    keys = jax.random.split(as_key(key), count)
    return jax.vmap(lambda one: episode(policy, one, num_steps))(keys)


def record(
    policy: Policy, key: jax.Array | int, num_steps: int = NUM_STEPS
) -> tuple[jax.Array, jax.Array]:
    """All states of an episode, to be looked at.

    Args:
      policy: from a state to an action.
      key: of the start.
      num_steps: the most steps.

    Returns:
      States [num_steps + 1, 4], of which the last one is repeated after the end, and
      the episode's return: the first `return + 1` states are the episode.
    """

    def body(carry: Any, _):
        state, count = carry
        done = fallen(state)
        state = jnp.where(done, state, step(state, policy(state)))
        return (state, count + ~done), state

    start = reset(key)
    carry = (start, jnp.zeros((), jnp.int32))
    (_, count), states = jax.lax.scan(body, carry, length=num_steps)
    return jnp.concatenate([start[None], states]), jnp.float32(count)
