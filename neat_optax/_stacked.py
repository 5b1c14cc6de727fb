"""Tree maths over a leading player axis: Gramians, and weighted sums of players.

Nothing here forms a second array of the input's size.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree

SMALLEST = 1e-22
LARGEST = 1e30
"""Squared norms between these are summed as they are; others are rescaled first."""
COLUMNS = 1 << 14
"""Columns that a CPU contracts at a time where there are twice as many or more: a
longer contraction leaves its caches."""
TURN = 1 << 18
"""Elements of leaves whose temporaries may be held at once."""


def gramian(
    leaves: list[jax.Array],
    others: list[jax.Array] | None = None,
    scale: jax.Array | None = None,
    metrics: Sequence[jax.Array] | None = None,
) -> jax.Array:
    r"""Inner products between players, :math:`G_{ij} = \sum_l g_{il} \cdot h_{jl}`.

    Args:
      leaves: arrays [P, ...] of `g`, summed over.
      others: arrays [P, ...] of `h`; `g` itself by default.
      scale: if given, every entry of both is multiplied by it first.
      metrics: if given, arrays [...] that every product of two entries is divided by.
    """
    others = leaves if others is None else others
    rows = [None] * len(leaves) if metrics is None else metrics
    begin = turns(leaf.size for leaf in leaves)
    total, taken = jnp.zeros(()), scale
    for a, b, metric, begins in zip(leaves, others, rows, begin, strict=True):
        if begins:
            metric, taken = after(total, (metric, scale))
        total = total + _contract(a, b, metric, taken)
    return total


def products_of_sums(
    weights: jax.Array,
    finite: jax.Array,
    leaves: list[jax.Array],
    scale: jax.Array | None = None,
    metrics: Sequence[jax.Array] | None = None,
) -> jax.Array:
    r"""`[K, P]`: inner products of weighted sums of the players with each player.

    They are taken of the sums themselves, so that those which nearly cancel are right
    to their own length, where products with a Gramian are right to that of the terms.

    Args:
      weights: [K, P].
      finite: [P] bool; others are left out whatever their entries.
      leaves: arrays [P, ...], summed over.
      scale: if given, every entry is multiplied by it first.
      metrics: if given, arrays [...] that every product of two entries is divided by.
    """
    rows = [None] * len(leaves) if metrics is None else metrics
    scale = jnp.ones((), weights.dtype) if scale is None else scale

    def measure(some: jax.Array) -> jax.Array:
        total, taken = jnp.zeros((), weights.dtype), (some, scale)
        begin = turns(leaf.size for leaf in leaves)
        for leaf, metric, begins in zip(leaves, rows, begin, strict=True):
            if begins:
                metric, taken = after(total, (metric, (some, scale)))
            total = total + _products_of_sums(leaf, finite, metric, *taken)
        return total

    # Elsewhere one sum at a time: together they would be as large as the stack.
    found = measure(weights) if in_blocks() else jax.lax.map(measure, weights)
    return jnp.where(finite[None], found, 0)


@jax.jit
def _products_of_sums(
    stack: jax.Array,
    finite: jax.Array,
    metric: jax.Array | None,
    weights: jax.Array,
    scale: jax.Array,
) -> jax.Array:
    if weights.ndim == 1:
        wide = _weighted_sum(weights * scale, finite, _tree.widen(stack))
        wide = wide if metric is None else wide / _tree.widen(metric)
        return products(stack, wide) * scale
    if jnp.iscomplexobj(stack):
        real = _products_of_sums(jnp.real(stack), finite, metric, weights, scale)
        imag = _products_of_sums(jnp.imag(stack), finite, metric, weights, scale)
        return real + imag

    def of_block(block: jax.Array, row: jax.Array | None) -> jax.Array:
        block = block.reshape(len(block), -1)
        block = jnp.where(finite[:, None], _tree.widen(block) * scale, 0)
        sums = jnp.matmul(weights, block, precision="highest")
        sums = sums if row is None else sums / _tree.widen(row).reshape(1, -1)
        return jnp.matmul(sums, block.T, precision="highest")

    return sum_over_blocks(of_block, stack, metric)


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


def largest_entry(leaves: list[jax.Array]) -> jax.Array:
    """`[P]`: the largest magnitude among each player's entries, NaN if one is NaN."""
    parts = [
        jnp.max(jnp.abs(leaf), axis=tuple(range(1, leaf.ndim)), initial=0)
        for leaf in leaves
    ]
    return jnp.max(jnp.stack([_tree.widen(part) for part in parts]), axis=0)


@jax.jit
def squared_norms(stack: jax.Array) -> jax.Array:
    """`[P]`: the squared norm of each player's part of one leaf."""
    wide = _tree.widen(stack)
    squares = jnp.real(wide * jnp.conj(wide))
    return jnp.sum(squares, axis=tuple(range(1, stack.ndim)))


@jax.jit
def products(stack: jax.Array, vector: jax.Array) -> jax.Array:
    """`[P]`: real inner product of each player's part of one leaf with a vector."""
    wide = _tree.widen(stack) * jnp.conj(_tree.widen(vector))[None]
    return jnp.sum(jnp.real(wide), axis=tuple(range(1, stack.ndim)))


def weighted_sum(weights: jax.Array, finite: jax.Array, stack: jax.Array) -> jax.Array:
    r"""One leaf's :math:`\sum_i w_i g_i`, without the players that are not finite.

    Args:
      weights: [P].
      finite: [P] bool; others are left out whatever their entries.
      stack: [P, ...].
    """
    return _weighted_sum(weights, finite, stack)


@jax.jit
def _contract(
    a: jax.Array, b: jax.Array, metric: jax.Array | None, scale: jax.Array | None
) -> jax.Array:
    """All axes but the first at once: a ravel would gather what is sharded."""
    if jnp.iscomplexobj(a):
        real = _contract(jnp.real(a), jnp.real(b), metric, scale)
        return real + _contract(jnp.imag(a), jnp.imag(b), metric, scale)

    def products(pair: tuple[jax.Array, jax.Array], row: jax.Array | None) -> jax.Array:
        return _dot(pair[0], pair[1], row, scale)

    return sum_over_blocks(products, (a, b), metric)


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
    function: Callable[[jax.Array, None], jax.Array], stack: jax.Array
) -> jax.Array:
    """`function(stack, None)`, an array without the player axis, block by block."""
    if not in_blocks():
        return function(stack, None)
    flat, _, columns = _as_columns(stack, None)
    if columns < 2 * COLUMNS:
        return function(flat, None).reshape(stack.shape[1:])
    whole, rest = divmod(columns, COLUMNS)
    last = function(*_cut((flat, None), whole * COLUMNS, rest))
    result = jnp.zeros((columns,), last.dtype)
    result = jax.lax.dynamic_update_slice_in_dim(result, last, whole * COLUMNS, 0)

    def body(index: jax.Array, result: jax.Array) -> jax.Array:
        start = index * COLUMNS
        block = function(*_cut((flat, None), start, COLUMNS))
        return jax.lax.dynamic_update_slice_in_dim(result, block, start, 0)

    result = jax.lax.fori_loop(0, whole, body, result)
    return result.reshape(stack.shape[1:])


def _as_columns(stacks: Any, row: jax.Array | None) -> tuple[Any, Any, int]:
    """Every array as a matrix of players and columns, the row as one row of columns."""
    flat = jax.tree.map(lambda x: x.reshape(len(x), -1), stacks)
    columns = jax.tree.leaves(flat)[0].shape[1]
    return flat, None if row is None else row.reshape(-1), columns


def _cut(pieces: Any, start: Any, size: int) -> Any:
    return jax.tree.map(
        lambda x: jax.lax.dynamic_slice_in_dim(x, start, size, axis=x.ndim - 1), pieces
    )


def _dot(
    a: jax.Array, b: jax.Array, metric: jax.Array | None, scale: jax.Array | None
) -> jax.Array:
    if metric is not None:
        root = jax.lax.rsqrt(_tree.widen(metric))[None]
        a, b = _tree.widen(a) * root, _tree.widen(b) * root
    if scale is not None:
        a, b = _tree.widen(a) * scale, _tree.widen(b) * scale
    axes = tuple(range(1, a.ndim))
    return jax.lax.dot_general(
        a,
        b,
        ((axes, axes), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.result_type(jnp.float32, a),
        out_sharding=_explicit(a, ()),
    )


def _explicit(stack: jax.Array, spec: tuple[Any, ...]) -> Any:
    """The sharding that a result must name where a mesh has explicit axes."""
    sharding = _tree.explicit_sharding(stack)
    if sharding is None:
        return None
    return jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec(*spec))


def in_blocks() -> bool:
    """Only on a lone CPU: blocks of a sharded array would have to be gathered."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1


@jax.jit
def _weighted_sum(weights: jax.Array, finite: jax.Array, stack: jax.Array) -> jax.Array:
    wide = jnp.result_type(jnp.float32, stack)
    weights = weights.astype(wide)

    def all_players():
        return jax.lax.dot_general(
            weights,
            stack.astype(wide),
            (((0,), (0,)), ((), ())),
            precision=jax.lax.Precision.HIGHEST,
            out_sharding=_explicit(stack, jax.typeof(stack).sharding.spec[1:]),
        )

    def finite_players():
        def body(index: jax.Array, total: jax.Array) -> jax.Array:
            row = jax.lax.dynamic_index_in_dim(stack, index, keepdims=False)
            return total + jnp.where(finite[index], weights[index] * row, 0)

        start = jnp.zeros_like(stack[0], wide)
        return jax.lax.fori_loop(0, len(stack), body, start)

    total = jax.lax.cond(jnp.all(finite), all_players, finite_players)
    return total.astype(stack.dtype)
