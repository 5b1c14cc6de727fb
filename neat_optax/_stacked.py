"""Tree maths over a leading player axis: Gramians, and weighted sums of players.

Nothing here forms a second array of the input's size.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _blocks, _factored, _tree

SMALLEST = 1e-22
LARGEST = 1e30
"""Squared norms between these are summed as they are; others are rescaled first."""


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
    begin = _blocks.turns(leaf.size for leaf in leaves)
    total, taken = jnp.zeros(()), scale
    for a, b, metric, begins in zip(leaves, others, rows, begin, strict=True):
        if begins:
            metric, taken = _blocks.after(total, (metric, scale))
        total = total + _between(a, b, metric, taken)
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
        begin = _blocks.turns(leaf.size for leaf in leaves)
        for leaf, metric, begins in zip(leaves, rows, begin, strict=True):
            if begins:
                metric, taken = _blocks.after(total, (metric, (some, scale)))
            total = total + _products_of_sums(leaf, finite, metric, *taken)
        return total

    # Elsewhere one sum at a time: together they would be as large as the stack.
    found = measure(weights) if _blocks.in_blocks() else jax.lax.map(measure, weights)
    return jnp.where(finite[None], found, 0)


@jax.jit
def _products_of_sums(
    stack: jax.Array,
    finite: jax.Array,
    metric: jax.Array | None,
    weights: jax.Array,
    scale: jax.Array,
) -> jax.Array:
    if _factored.is_factored(stack):
        return _of_factored(stack, finite, metric, weights, scale)
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

    return _blocks.sum_over_blocks(of_block, stack, metric)


def _of_factored(
    stack: Any,
    finite: jax.Array,
    metric: jax.Array | None,
    weights: jax.Array,
    scale: jax.Array,
) -> jax.Array:
    if metric is not None:
        arguments = stack.explicit(), finite, metric, weights, scale
        return _products_of_sums(*arguments)
    if weights.ndim == 1:
        return stack.products(stack.weighted_sum(weights * scale, finite)) * scale
    return jax.lax.map(
        lambda row: _of_factored(stack, finite, None, row, scale), weights
    )


def largest_entry(leaves: list[jax.Array]) -> jax.Array:
    """`[P]`: the largest magnitude among each player's entries, NaN if one is NaN."""
    return jnp.max(jnp.stack([_largest(leaf) for leaf in leaves]), axis=0)


def _largest(leaf: Any) -> jax.Array:
    if _factored.is_factored(leaf):
        return leaf.largest_entry()
    axes = tuple(range(1, leaf.ndim))
    return _tree.widen(jnp.max(jnp.abs(leaf), axis=axes, initial=0))


@jax.jit
def squared_norms(
    stack: jax.Array, scale: jax.Array | None = None, metric: jax.Array | None = None
) -> jax.Array:
    """`[P]`: the squared norm of each player's part of one leaf.

    Args:
      stack: [P, ...].
      scale: if given, every entry is multiplied by it first.
      metric: if given, an array [...] that every square of an entry is divided by.
    """
    if _factored.is_factored(stack) and metric is None:
        return stack.squared_norms(scale)
    wide = _tree.widen(_factored.explicit(stack))
    wide = wide if scale is None else wide * scale
    squares = jnp.real(wide * jnp.conj(wide))
    squares = squares if metric is None else squares / _tree.widen(metric)[None]
    return jnp.sum(squares, axis=tuple(range(1, stack.ndim)))


@jax.jit
def products(stack: jax.Array, vector: jax.Array) -> jax.Array:
    """`[P]`: real inner product of each player's part of one leaf with a vector."""
    if _factored.is_factored(stack):
        return stack.products(vector)
    wide = _tree.widen(stack) * jnp.conj(_tree.widen(vector))[None]
    return jnp.sum(jnp.real(wide), axis=tuple(range(1, stack.ndim)))


def weighted_sum(
    weights: jax.Array, finite: jax.Array, stack: jax.Array | _factored.Factored
) -> jax.Array:
    r"""One leaf's :math:`\sum_i w_i g_i`, without the players that are not finite.

    Args:
      weights: [P].
      finite: [P] bool; others are left out whatever their entries.
      stack: [P, ...].
    """
    if _factored.is_factored(stack):
        return stack.weighted_sum(weights, finite).astype(stack.dtype)
    return _weighted_sum(weights, finite, stack)


def _between(
    a: Any, b: Any, metric: jax.Array | None, scale: jax.Array | None
) -> jax.Array:
    factored = _factored.is_factored(a) and _factored.is_factored(b)
    if factored and metric is None and a.layout == b.layout:
        return a.gramian(b, scale)
    return _contract(*_factored.explicit((a, b)), metric, scale)


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

    return _blocks.sum_over_blocks(products, (a, b), metric)


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
