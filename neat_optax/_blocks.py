"""Large arrays a block at a time, and many of them in turn, on a lone CPU.

What is computed of a block stays in the caches, and the temporaries of one array are
gone before those of the next are made.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

COLUMNS = 1 << 14
"""Columns that a CPU contracts at a time where there are twice as many or more: a
longer contraction leaves its caches."""
TURN = 1 << 18
"""Elements of leaves whose temporaries may be held at once."""


def turns(sizes: Iterable[int]) -> list[bool]:
    """Which leaves of such sizes begin a turn, and so wait for the leaf before.

    The scheduler of a lone CPU device would otherwise hold the temporaries of all
    leaves at once, where they are many and small.
    """
    begins, held = [], 0
    for size in sizes:
        held += size
        begins.append(in_blocks() and held > size and held > TURN)
        held = size if begins[-1] else held
    return begins


def after(result: jax.Array, values: Any) -> Any:
    """The values, known only when the result is."""
    if not result.size:
        return values
    never = result.reshape(-1)[0] > jnp.inf  # which XLA does not know
    return jax.tree.map(lambda x: jnp.where(never, jnp.zeros_like(x), x), values)


def sum_over_blocks(
    function: Callable[[Any, Any], Any], stacks: Any, row: jax.Array | None = None
) -> Any:
    """Sums `function(stacks, row)` over blocks of columns.

    Args:
      function: what to sum, of one block.
      stacks: arrays [P, ...] that are cut alike.
      row: an array [...] that is cut with them, or None.

    Returns:
      The sum; on several devices, the function of everything as one block.
    """
    if not in_blocks():
        return function(stacks, row)
    stacks, row, columns = _as_columns(stacks, row)
    if columns < 2 * COLUMNS:
        return function(stacks, row)
    whole, rest = divmod(columns, COLUMNS)
    first = function(*_cut((stacks, row), whole * COLUMNS, rest))

    def body(index: jax.Array, total: Any) -> Any:
        block = function(*_cut((stacks, row), index * COLUMNS, COLUMNS))
        return jax.tree.map(jnp.add, total, block)

    return jax.lax.fori_loop(0, whole, body, first)


def map_over_blocks(
    function: Callable[[jax.Array, Any], jax.Array],
    stack: jax.Array,
    row: jax.Array | None = None,
) -> jax.Array:
    """`function(stack, row)`, an array without the player axis, block by block."""
    if not in_blocks():
        return function(stack, row)
    flat, cut_row, columns = _as_columns(stack, row)
    if columns < 2 * COLUMNS:
        return function(flat, cut_row).reshape(stack.shape[1:])
    whole, rest = divmod(columns, COLUMNS)
    last = function(*_cut((flat, cut_row), whole * COLUMNS, rest))
    result = jnp.zeros((columns,), last.dtype)
    result = jax.lax.dynamic_update_slice_in_dim(result, last, whole * COLUMNS, 0)

    def body(index: jax.Array, result: jax.Array) -> jax.Array:
        start = index * COLUMNS
        block = function(*_cut((flat, cut_row), start, COLUMNS))
        return jax.lax.dynamic_update_slice_in_dim(result, block, start, 0)

    result = jax.lax.fori_loop(0, whole, body, result)
    return result.reshape(stack.shape[1:])


def sum_rows(function: Callable[..., Any], *stacks: jax.Array) -> Any:
    """Sums `function(*rows)`, which is finite, over the leading axis of all stacks.

    Row after row on a lone CPU, where a reduction over the leading axis writes what it
    reduces, and reads it in strides.
    """
    if not in_blocks():
        terms = jax.vmap(function)(*stacks)
        return jax.tree.map(lambda x: jnp.sum(x, axis=0), terms)
    first = function(*(x[0] for x in stacks))
    # Zeros that wait for the rows, as constants would not: see `turns`.
    nothing = jax.tree.map(jnp.subtract, first, first)

    def add(total: Any, rows: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(*rows)), None

    return jax.lax.scan(add, nothing, stacks)[0]


def _as_columns(stacks: Any, row: jax.Array | None) -> tuple[Any, Any, int]:
    """Every array as a matrix of players and columns, the row as one row of columns."""
    flat = jax.tree.map(lambda x: x.reshape(len(x), -1), stacks)
    columns = jax.tree.leaves(flat)[0].shape[1]
    return flat, None if row is None else row.reshape(-1), columns


def _cut(pieces: Any, start: Any, size: int) -> Any:
    return jax.tree.map(
        lambda x: jax.lax.dynamic_slice_in_dim(x, start, size, axis=x.ndim - 1), pieces
    )


def in_blocks() -> bool:
    """Only on a lone CPU: blocks of a sharded array would have to be gathered."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1
