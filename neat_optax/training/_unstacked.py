r"""The weighted sum of players whose gradients are never held together.

.. math:: G_{ij} = g_i \cdot g_j, \qquad u = \sum_i w_i(G)\, g_i

Gradients of `c` players at a time are made again for each block of the Gramian, and
once more for the sum: memory for `2 c` of them, time for about `P (P / c + 5) / 2`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _stacked, _tree
from neat_optax.aggregators import Players, Weighting
from neat_optax.training import _player_gradients
from neat_optax.training._player_rows import Rows


class UnstackedState(NamedTuple):
    """State of an optimizer behind a weighting without stacked gradients."""

    step: jax.Array  # [] int32
    weighting: Any  # the weighting's state
    inner: Any


class Chunks(NamedTuple):
    """Players by `c` at a time: inputs [P / c, c, ...], and how to differentiate."""

    inputs: Any
    grads: Callable[[Any], Any]  # of inputs [c, ...]: ((losses, others), gradients)


def make_chunks(rows: Rows, size: int, params: Any, factor: Any) -> Chunks:
    """Players in chunks of one size; losses are scaled in the backward pass."""
    if rows.num_players % size:
        raise ValueError(
            f"`chunk_size` must divide the {rows.num_players} players where a "
            f"weighting is given, got {size}."
        )

    def grads(inputs: Any) -> Any:
        return _player_gradients.of_some(rows, params, inputs, factor)

    shape = rows.num_players // size, size
    return Chunks(
        jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), rows.inputs), grads
    )


def measure(chunks: Chunks, count: int) -> tuple[jax.Array, jax.Array]:
    """The Gramian [P, P] of all players, and their losses [P]."""
    number = len(jax.tree.leaves(chunks.inputs)[0])
    size = count // number

    def at(index: Any) -> tuple[jax.Array, list[jax.Array]]:
        (losses, _), grads = chunks.grads(
            jax.tree.map(lambda x: x[index], chunks.inputs)
        )
        return losses, jax.tree.leaves(grads)

    def of_row(gramian: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        losses, own = at(index)

        def put(block: jax.Array, gramian: jax.Array, row: Any, column: Any):
            return jax.lax.dynamic_update_slice(
                gramian, block, (row * size, column * size)
            )

        def of_column(column: jax.Array, gramian: jax.Array) -> jax.Array:
            block = _stacked.gramian(own, at(column)[1])
            gramian = put(block, gramian, index, column)
            return put(block.T, gramian, column, index)

        gramian = put(_stacked.gramian(own), gramian, index, index)
        return jax.lax.fori_loop(0, index, of_column, gramian), losses

    start = jnp.zeros((count, count), jnp.float32)
    gramian, losses = jax.lax.scan(of_row, start, jnp.arange(number))
    return gramian, losses.reshape(count)


def decide(
    weighting: Weighting, gramian: jax.Array, losses: jax.Array, state: UnstackedState
) -> tuple[jax.Array, jax.Array, Any]:
    """Weights [P], who is finite [P], and the weighting's next state."""
    finite = jnp.isfinite(jnp.diagonal(gramian))
    gramian = jnp.where(finite[:, None] & finite[None, :], gramian, 0)
    players = Players(
        gramian=gramian,
        scale=jnp.ones((), gramian.dtype),
        present=finite,
        preference=None,
        losses=losses,
        cross=gramian,
        step=state.step,
    )
    decision, own = weighting.decide(players, state.weighting)
    weights = jnp.where(finite, decision.weights, 0)
    return weights, finite, _tree.cast_like(own, state.weighting)


def combine(
    chunks: Chunks, weights: jax.Array, finite: jax.Array, params: Any
) -> tuple[Any, Any]:
    """The weighted sum of all gradients, and what is beside the losses, [P, ...]."""
    number = len(jax.tree.leaves(chunks.inputs)[0])

    def add(total: Any, seen: Any) -> tuple[Any, Any]:
        inputs, weights, finite = seen
        (_, others), grads = chunks.grads(inputs)
        part = jax.tree.map(lambda g: _stacked.weighted_sum(weights, finite, g), grads)
        return jax.tree.map(jnp.add, total, part), others

    split = weights.reshape(number, -1), finite.reshape(number, -1)
    zeros = jax.tree.map(jnp.zeros_like, params)
    total, others = jax.lax.scan(add, zeros, (chunks.inputs, *split))
    count = len(weights)
    return total, jax.tree.map(lambda x: x.reshape(count, *x.shape[2:]), others)


def around(
    weighting: Weighting, tx: optax.GradientTransformation, count: int | None
) -> optax.GradientTransformationExtraArgs:
    """An optimizer that keeps the weighting's state beside its own."""
    inner = optax.with_extra_args_support(tx)

    def init(params: Any) -> UnstackedState:
        own = jax.tree.map(jnp.asarray, weighting.init(count))
        return UnstackedState(jnp.zeros((), jnp.int32), own, inner.init(params))

    def update(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, UnstackedState]:
        weighting = extra.pop("weighting")
        updates, new = inner.update(updates, state.inner, params, **extra)
        return updates, UnstackedState(_tree.increment(state.step), weighting, new)

    return optax.GradientTransformationExtraArgs(init, update)
