r"""How far matrices are from isometries, and the way there.

A matrix [m, n] with :math:`m \ge n` is an isometry if its columns are orthonormal, and
one with :math:`m < n` if its rows are. `deviation` measures it, `pull` is the gradient
of that, and `polar_factor` approaches the nearest isometry.
"""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree


def deviation(matrices: jax.Array) -> jax.Array:
    r"""`[...]`: :math:`\|W^\top W - I\|^2`, or :math:`\|W W^\top - I\|^2` if wide.

    Args:
      matrices: [..., m, n].
    """
    excess = _excess(_tall(_tree.widen(matrices)))
    return jnp.sum(jnp.real(excess * jnp.conj(excess)), axis=(-2, -1))


def pull(matrices: jax.Array, scale: Any = 1.0) -> jax.Array:
    r"""The gradient of `deviation`, :math:`4 W (W^\top W - s I)`, [..., m, n].

    Args:
      matrices: [..., m, n].
      scale: `s`; 1 for an isometry.
    """
    wide = _tree.widen(matrices)
    tall = _tall(wide)
    return _as_before(4 * _product(tall, _excess(tall, scale)), wide)


def polar_factor(matrices: jax.Array, iterations: int) -> jax.Array:
    r"""Newton and Schulz's iterations towards the nearest isometry, [..., m, n].

    .. math:: X_0 = W / \|W\|_F, \qquad
        X_{k+1} = \tfrac32 X_k - \tfrac12 X_k X_k^\top X_k

    A singular value of :math:`X_0` grows by 1.5 in each iteration while it is small. A
    zero matrix stays zero.

    Args:
      matrices: [..., m, n].
      iterations: how many.
    """
    wide = _tree.widen(matrices)
    start = normalized(_tall(wide), (-2, -1))

    def iterate(_: jax.Array, x: jax.Array) -> jax.Array:
        return 1.5 * x - 0.5 * _product(x, _gram(x))

    return _as_before(jax.lax.fori_loop(0, iterations, iterate, start), wide)


def normalized(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """Divided by the norm over some axes; zero where that is zero.

    The largest entry is brought to 1 first, so that no square is out of range.
    """
    largest = jnp.max(jnp.abs(x), axis=axes, keepdims=True, initial=0)
    scaled = _tree.safe_divide(x, jax.lax.stop_gradient(largest))
    squares = jnp.real(scaled * jnp.conj(scaled))
    length = _tree.root(jnp.sum(squares, axis=axes, keepdims=True))
    return _tree.safe_divide(scaled, length)


def _tall(x: jax.Array) -> jax.Array:
    return x if x.shape[-2] >= x.shape[-1] else jnp.conj(x.mT)


def _as_before(tall: jax.Array, like: jax.Array) -> jax.Array:
    return tall if tall.shape == like.shape else jnp.conj(tall.mT)


def _excess(tall: jax.Array, scale: Any = 1.0) -> jax.Array:
    gram = _gram(tall)
    identity = jnp.eye(gram.shape[-1], dtype=gram.dtype)
    return gram - jnp.broadcast_to(scale * identity, gram.shape)


def _gram(tall: jax.Array) -> jax.Array:
    return _product(jnp.conj(tall.mT), tall)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")
