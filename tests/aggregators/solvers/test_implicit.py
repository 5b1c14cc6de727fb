"""Derivatives of roots, worked out by hand."""

import jax
import numpy as np

from neat_optax.aggregators._solvers._implicit import at_root, constants


def square_root(a):
    """`x` with `x^2 = a`, found by something that nobody can differentiate."""
    found = jax.lax.while_loop(
        lambda x: x[0] ** 2 > 1.000001 * a[0], lambda x: (x + a / x) / 2, constants(a)
    )
    return at_root(lambda x, a: x**2 - a, found, a)[0]


def test_first_and_second_derivative():
    """Of the root of 9: 1 / 6 and -1 / 108."""

    def both(a):
        first = lambda a: jax.grad(square_root)(a)[0]  # noqa: E731
        return first(a), jax.grad(first)(a)[0], jax.jacfwd(square_root)(a)[0]

    first, second, forward = jax.jit(both)(np.float32([9.0]))
    np.testing.assert_allclose([first, forward], 1 / 6, rtol=1e-5)
    np.testing.assert_allclose(second, -1 / 108, rtol=1e-5)


def test_no_move_along_the_null_space():
    """`x_0 + x_1 = a` twice: both move by a half."""

    def solution(a):
        condition = lambda x, a: np.ones(2) * (x[0] + x[1] - a)  # noqa: E731
        return at_root(condition, np.float32([1.0, 2.0]) * (a > 0), a)

    moved = jax.jit(jax.jacfwd(solution))(np.float32(3.0))
    np.testing.assert_allclose(moved, [0.5, 0.5], rtol=1e-6)
