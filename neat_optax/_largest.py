"""Exact top-k masks without a sort.

The threshold is found bit by bit on the bits of the scores, by counting. Counts are
reductions, so that a sharded array stays where it is, and several arrays can share one
threshold without being concatenated.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree


def keep_largest(
    scores: Sequence[jax.Array],
    alive: Sequence[jax.Array],
    count: Any,
    numbers: Sequence[jax.Array] | None = None,
) -> list[jax.Array]:
    """Masks of the `count` largest scores among those alive, in all arrays together.

    Exactly `count` entries are kept, or all that are alive if those are fewer. Among
    equals the later ones are kept: later arrays, then later entries in row-major order.
    A score that is not a number counts as the largest.

    Args:
      scores: real arrays of one dtype.
      alive: boolean arrays of the same shapes; what is not alive is never kept.
      count: an int32 number, which may be traced.
      numbers: uint32 arrays of the same shapes with the place of each entry in the
        order in which equals are kept, from 1 on; by default that of the arrays.
    """
    keys = [
        jnp.where(a, _ordered_bits(s), 0) for s, a in zip(scores, alive, strict=True)
    ]
    threshold = _largest_threshold(keys, count)
    above = [key > threshold for key in keys]
    equal = [(key == threshold) & (key > 0) for key in keys]
    wanted = count - _count(above)
    numbers = number_entries(keys) if numbers is None else numbers

    def first_among_equals() -> jax.Array:
        ranked = [jnp.where(e, n, 0) for e, n in zip(equal, numbers, strict=True)]
        return _largest_threshold(ranked, wanted)

    # Usually all equals are wanted, since there is one: no second search then.
    all_wanted = wanted >= _count(equal)
    one = _tree.varying_like(jnp.uint32(1), wanted)
    first = jax.lax.cond(all_wanted, lambda: one, first_among_equals)
    return [
        a | (e & (n >= first)) for a, e, n in zip(above, equal, numbers, strict=True)
    ]


def _count(masks: Sequence[jax.Array]) -> jax.Array:
    return sum((jnp.sum(mask, dtype=jnp.int32) for mask in masks), jnp.int32(0))


def _ordered_bits(score: jax.Array) -> jax.Array:
    """Unsigned integers above 0 in the order of the scores."""
    width = jnp.finfo(score.dtype).bits
    unsigned = jnp.uint64 if width == 64 else jnp.uint32
    score = jnp.where(jnp.isnan(score), jnp.inf, score)
    bits = jax.lax.bitcast_convert_type(score, unsigned)
    sign = unsigned(1 << (width - 1))
    bits = jnp.where(bits == sign, 0, bits)  # -0.0 is 0.0; subnormals are no zeros
    # The bits of negative numbers count up as the numbers go down.
    return jnp.where(bits >= sign, ~bits, bits | sign)


def _largest_threshold(keys: Sequence[jax.Array], count: Any) -> jax.Array:
    """The largest threshold that at least `count` keys reach."""
    dtype = keys[0].dtype
    width = dtype.itemsize * 8

    def decide(index: Any, threshold: jax.Array) -> jax.Array:
        bit = jnp.asarray(1, dtype) << jnp.asarray(width - 1 - index, dtype)
        reached = _count([key >= (threshold | bit) for key in keys])
        return jnp.where(reached >= count, threshold | bit, threshold)

    none = _tree.varying_like(jnp.zeros((), dtype), _count([key > 0 for key in keys]))
    return jax.lax.fori_loop(0, width, decide, none)


def number_entries(arrays: Sequence[jax.Array]) -> list[jax.Array]:
    """Numbers from 1 on for all entries, in row-major order, array after array."""
    first, numbered = 1, []
    for array in arrays:
        number, stride = jnp.full_like(array, first, dtype=jnp.uint32), array.size
        for axis, length in enumerate(array.shape):
            stride //= max(length, 1)
            number += jax.lax.broadcasted_iota(jnp.uint32, array.shape, axis) * stride
        numbered.append(number)
        first += array.size
    return numbered
