"""Groups with one decision: single entries, blocks, whole units or whole arrays."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree


class Granularity(NamedTuple):
    """A division of each array into groups that share one decision.

    Pruning keeps or prunes a group as one; plasticity gives it one coefficient.

    `pool(scores)` gives one score for each group. `spread(decided, like)` gives each
    entry of `like` what was decided for its group. `groups(shape)` counts them. With
    `of_outputs` the groups are the outputs of a layer, and their biases go with them.
    """

    name: str
    pool: Callable[[jax.Array], jax.Array]
    spread: Callable[[jax.Array, jax.Array], jax.Array]
    groups: Callable[[tuple[int, ...]], int]
    of_outputs: bool = False

    def __repr__(self) -> str:
        return f"<granularity {self.name}>"


def _broadcast(decided: jax.Array, like: jax.Array) -> jax.Array:
    """A product, unlike a broadcast, is sharded like `like`."""
    return decided * jnp.ones_like(like, dtype=decided.dtype)


entries = Granularity("entries", lambda x: x, lambda decided, _: decided, math.prod)
"""Every entry by itself: unstructured sparsity."""

arrays = Granularity(
    "arrays", lambda x: jnp.mean(x, keepdims=True), _broadcast, lambda _: 1
)
"""Whole arrays, compared within a scope of several."""


def units(axis: int = -1) -> Granularity:
    """Whole slices along one axis, such as the output units of a Flax kernel.

    A group's score is the mean over its entries. In pruning with axis -1 the bias of a
    unit is kept or pruned with it: the entry of each vector of the same length that
    is next to the kernel. The unit then outputs zero after any activation that maps
    zero to zero, and `compact` can remove it.

    Args:
      axis: the axis that numbers the units; -1 are the outputs of Dense and Conv, -2
        their inputs. The outputs of a network's last layer are its classes: leave it
        out of pruning with `mask`. An array without axes is one unit.
    """
    _checks.check_integer("axis", axis)

    def others(shape: tuple[int, ...]) -> tuple[int, ...]:
        if not shape:
            return ()
        _checks.check_axis("axis", axis, shape)
        return tuple(i for i in range(len(shape)) if i != axis % len(shape))

    def pool(scores: jax.Array) -> jax.Array:
        return jnp.mean(scores, axis=others(scores.shape), keepdims=True)

    def groups(shape: tuple[int, ...]) -> int:
        others(shape)
        return shape[axis] if shape else 1

    name = f"units({axis})"
    return Granularity(name, pool, _broadcast, groups, of_outputs=axis == -1)


def blocks(*shape: int) -> Granularity:
    """Blocks over the last axes. A group's score is the mean over its entries.

    Args:
      *shape: the lengths of a block along the last axes, each of which must divide the
        array's. Along axes before them a block has length 1.
    """
    for length in shape:
        _checks.check_count("shape", length, minimum=1)

    def split(array_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape with each blocked axis as (number of blocks, length in a block)."""
        before, last = _cut(array_shape, shape)
        pairs = [(n // m, m) for n, m in zip(last, shape, strict=True)]
        return before + tuple(length for pair in pairs for length in pair)

    def inside(ndim: int) -> tuple[int, ...]:
        first = ndim - len(shape)
        return tuple(first + 2 * i + 1 for i in range(len(shape)))

    def pool(scores: jax.Array) -> jax.Array:
        in_blocks = _tree.unsharded(scores).reshape(split(scores.shape))
        return jnp.mean(in_blocks, axis=inside(scores.ndim), keepdims=True)

    def spread(decided: jax.Array, like: jax.Array) -> jax.Array:
        return jnp.broadcast_to(decided, split(like.shape)).reshape(like.shape)

    def groups(array_shape: tuple[int, ...]) -> int:
        _cut(array_shape, shape)
        return math.prod(array_shape) // math.prod(shape)

    return Granularity(f"blocks{shape}", pool, spread, groups)


def _cut(
    array_shape: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes before the blocked ones, and those, whose lengths blocks must divide."""
    first = len(array_shape) - len(shape)
    last = array_shape[max(first, 0) :]
    if first < 0 or any(n % m for n, m in zip(last, shape, strict=True)):
        raise ValueError(
            f"`shape` must divide the last axes of every array, got {shape} for "
            f"an array of shape {array_shape}."
        )
    return array_shape[:first], last
