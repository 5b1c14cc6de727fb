"""Random words: 32 bits for each gene, read off piece by piece.

A word stands for a number in [0, 1). A choice among n takes log2(n) bits off it, and
what is left again stands for a number in [0, 1), which decides whether the gene mutates
and, if so, by how much. So one draw serves crossover, mask and noise.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _blocks, _tree
from neat_optax.evolution import _rows

_LARGEST = 1 - 2.0**-24  # below 1 in float32


class Draws(NamedTuple):
    """What one leaf of the offspring is drawn with."""

    shared: jax.Array  # a key, the same one for all leaves
    own: jax.Array  # a key of this leaf
    word: jax.Array  # uint32, one for each gene


def words(key: jax.Array, leaf: Any) -> jax.Array:
    """A word for each entry of `leaf`, sharded like it."""
    sharding = _tree.explicit_sharding(leaf)
    shape = _rows.joined(leaf).shape
    drawn = jax.random.bits(key, shape, jnp.uint32, out_sharding=sharding)
    return drawn.reshape(leaf.shape)


def after(result: jax.Array, keys: jax.Array) -> jax.Array:
    """The keys, known only when the result is."""
    data, impl = jax.random.key_data(keys), jax.random.key_impl(keys)
    return jax.random.wrap_key_data(_blocks.after(result, data), impl=impl)


def choose(word: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """A number below `count`, at most 65535, and the word that is left.

    These are the upper and the lower half of the product of both in 64 bits.
    """
    factor = jnp.uint32(count)
    lower = (word & 0xFFFF) * factor
    upper = (word >> 16) * factor + (lower >> 16)
    return (upper >> 16).astype(jnp.int32), word * factor


def uniform(word: jax.Array) -> jax.Array:
    """The number in [0, 1] that a word stands for."""
    return word.astype(jnp.float32) * 2.0**-32


def normal(share: jax.Array) -> jax.Array:
    """The normal number below which a share of all normal numbers lies."""
    return jnp.sqrt(2.0) * jax.lax.erf_inv(jnp.clip(2 * share - 1, -_LARGEST, _LARGEST))


def chosen(word: jax.Array, rate: Any) -> tuple[jax.Array, jax.Array]:
    """Which genes are among a share of all, and a new number in [0, 1] for each."""
    number = uniform(word)
    if isinstance(rate, (int, float)) and rate == 1:
        return jnp.ones_like(number, dtype=bool), number
    inside = number < rate
    return inside, number / jnp.where(rate > 0, rate, 1)


def drawn_with(
    init: Callable[..., Any] | None, key: jax.Array, number: jax.Array, genes: jax.Array
) -> jax.Array:
    """What an initializer gives for each individual; without one, normal numbers."""
    if init is None:
        return normal(number)
    _, *shape = genes.shape

    def one(key: jax.Array) -> jax.Array:
        return jnp.asarray(init(key, tuple(shape), genes.dtype))

    keys = jax.random.split(key, genes.shape[0])
    fresh = _rows.mapped(one, _rows.at_a_time(genes), (keys,))
    return _rows.placed(fresh, genes)


def fan_in_scale(shape: tuple[int, ...]) -> float:
    r"""The standard deviation of an initial weight, :math:`1 / \sqrt{n}`.

    :math:`n` is the number of inputs of one output of an array of that shape: the
    product of all axes but the last, as in a Flax kernel; the length of a vector; 1 for
    a number.

    Example:
      >>> fan_in_scale((16, 10))
      0.25
    """
    inputs = 1
    for length in shape[:-1] or shape:
        inputs *= length
    return max(inputs, 1) ** -0.5
