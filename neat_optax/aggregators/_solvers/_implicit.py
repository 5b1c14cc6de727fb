"""Derivatives of what a loop found, by the implicit function theorem.

Reverse mode does not go through a loop of unknown length, nor need it: a solution is a
root of its optimality condition, and moves so that it stays one.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def constants(tree: Any) -> Any:
    """What a loop is given whose result `at_root` differentiates."""
    return jax.lax.stop_gradient(tree)


def at_root(
    condition: Callable[[jax.Array, Any], jax.Array], found: jax.Array, given: Any
) -> jax.Array:
    r"""`found`, with the derivative of the root of a condition.

    .. math:: F(x, a) = 0 \quad\Rightarrow\quad
        dx = -(\partial_x F)^+\, \partial_a F\, da

    A singular system leaves the solution where it is along its null space.

    Args:
      condition: `F`, from an array [n] and a tree of arrays to an array [n].
      found: `x` [n], the root.
      given: `a`, a tree of arrays.
    """

    @jax.custom_jvp
    def attach(found: jax.Array, given: Any) -> jax.Array:
        del given
        return found

    @attach.defjvp
    def _attach_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]):
        given = primals[1]
        found = attach(*primals)  # which moves in a second derivative
        moved = jax.jvp(lambda a: condition(found, a), (given,), tangents[1:])[1]
        system = jax.jacfwd(lambda x: condition(x, given))(found)
        return found, -_least_squares(system, moved)

    return attach(jax.lax.stop_gradient(found), given)


def _least_squares(system: jax.Array, rhs: jax.Array) -> jax.Array:
    """The solution of least norm, whose derivative needs no singular values."""
    inverse = jnp.linalg.pinv(jax.lax.stop_gradient(system))
    times = lambda matrix, x: jnp.matmul(matrix, x, precision="highest")  # noqa: E731
    return jax.lax.custom_linear_solve(
        lambda x: times(system, x),
        rhs,
        lambda _, b: times(inverse, b),
        lambda _, b: times(inverse.T, b),
    )
