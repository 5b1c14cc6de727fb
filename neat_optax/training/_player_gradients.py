"""Losses and gradients of the players of a batch, scaled on the way if need be."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _factored, _stacked
from neat_optax._sites import value_and_factored_grads
from neat_optax.players._gradients import map_rows, value_and_player_grads
from neat_optax.training._player_kinds import PlayerKind
from neat_optax.training._player_rows import Rows

Found = tuple[tuple[jax.Array, Any], Any]
"""`((losses, others), gradients)`."""


def of_all(rows: Rows, players: PlayerKind, params: Any, factor: Any) -> Found:
    """Of all players, with what is beside the losses gathered.

    Args:
      rows: the players of a batch.
      players: who they are.
      params: the parameters.
      factor: what losses are multiplied by in the backward pass, or None.
    """
    chunk, factored = players.chunk_size, players.factored
    if rows.whole is not None:
        whole = _scaled(rows.whole, factor)
        of_losses = value_and_player_grads(whole, has_aux=True, chunk_size=chunk)
        return _unscaled(of_losses(params), factor)
    if factored:
        loss = _scaled(rows.loss, factor)
        choice = {"choose": factored} if callable(factored) else {}
        found = value_and_factored_grads(
            loss, params, (rows.inputs,), chunk_size=chunk, **choice
        )
        (losses, others), grads = _unscaled(found, factor)
    else:
        (losses, others), grads = of_some(rows, params, rows.inputs, factor, chunk)
    return (losses, rows.gather(others)), grads


def of_some(
    rows: Rows, params: Any, inputs: Any, factor: Any, chunk_size: int | None = None
) -> Found:
    """Of the players with these inputs, one backward pass of each."""
    of_player = jax.value_and_grad(_scaled(rows.loss, factor), has_aux=True)
    found = map_rows(lambda row: of_player(params, row), inputs, chunk_size)
    return _unscaled(found, factor)


def are_finite(grads: Any) -> jax.Array:
    """[P]: whether all gradients of a player are finite."""
    return jnp.isfinite(_stacked.largest_entry(_factored.flatten(grads)[0]))


def next_scale(scale: Any, finite: jax.Array) -> Any:
    """The scale after a step, by Flax's own rule.

    That sees the gradient of a number, which is finite where the step's are.
    """
    of_number = scale.value_and_grad(lambda x: x * jnp.where(finite, 1, jnp.nan))
    return of_number(jnp.ones(())).dynamic_scale


def _scaled(losses: Callable[..., Any], factor: Any) -> Callable[..., Any]:
    if factor is None:
        return losses

    def multiplied(*args: Any) -> Any:
        found, others = losses(*args)
        return jax.tree.map(lambda loss: loss * factor, found), others

    return multiplied


def _unscaled(found: Found, factor: Any) -> Found:
    if factor is None:
        return found
    (losses, others), grads = found
    return (losses / factor, others), _factored.divide(grads, factor)
