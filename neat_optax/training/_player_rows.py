"""The loss of each player by itself, of which gradients are taken in some order."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax.training import _losses
from neat_optax.training._batches import count_examples, split_batch
from neat_optax.training._models import Model
from neat_optax.training._player_kinds import PlayerKind
from neat_optax.training._step import TrainingState, step_key


class Rows(NamedTuple):
    """The players of one batch.

    Attributes:
      inputs: a tree with a leading axis [P, ...]: what each player differs in.
      loss: from parameters and one player's input to its loss and `(aux, extra)`.
      names: of the players in the logs, or none.
      whole: from parameters to the losses of all in one pass; None where each has its
        own.
      gather: from `(aux, extra)` of all players, [P, ...], to those of the batch.
    """

    inputs: Any
    loss: Callable[[Any, Any], tuple[jax.Array, Any]]
    names: list[str]
    gather: Callable[[Any], Any]
    whole: Callable[[Any], Any] | None = None

    @property
    def num_players(self) -> int:
        """How many players there are."""
        return len(jax.tree.leaves(self.inputs)[0])


def make_rows(
    players: PlayerKind,
    model: Model,
    loss: _losses.Loss,
    dtype: Any,
    state: TrainingState,
    batch: Any,
) -> Rows:
    """The players of a batch."""
    if players.kind == "tasks":
        return _tasks(model, loss, dtype, state, batch)
    return _groups(players, model, loss, dtype, state, batch)


def _groups(
    players: PlayerKind,
    model: Model,
    loss: _losses.Loss,
    dtype: Any,
    state: TrainingState,
    batch: Any,
) -> Rows:
    alone = players.kind == "examples"
    count = count_examples("batch", batch) if alone else players.num_players or 1
    parts = split_batch("count", batch, count)
    keys = jax.random.split(step_key(state), count)

    def of_player(params: Any, row: Any) -> tuple[jax.Array, Any]:
        key, part = row
        losses, aux, extra = _losses.run_loss(
            model, loss, dtype, params, state.extra, key, part, alone=alone
        )
        return _losses.mean_loss(losses), (aux, extra)

    def gather(others: Any) -> Any:
        aux, extra = others
        return aux, jax.tree.map(_of_all, extra, state.extra)

    return Rows((keys, parts), of_player, [], gather)


def _of_all(many: jax.Array, one: jax.Array) -> jax.Array:
    """Of what each player would carry on: the mean, or the first of other kinds."""
    if jnp.issubdtype(one.dtype, jnp.inexact):
        return jnp.mean(many, axis=0).astype(one.dtype)
    return many[0]


def _tasks(
    model: Model, loss: _losses.Loss, dtype: Any, state: TrainingState, batch: Any
) -> Rows:
    def of_all(params: Any) -> tuple[Any, Any]:
        losses, aux, extra = _losses.run_loss(
            model, loss, dtype, params, state.extra, step_key(state), batch
        )
        return losses, (aux, extra)

    shapes = jax.eval_shape(of_all, state.params)[0]
    names = _names(shapes)

    def of_player(params: Any, number: Any) -> tuple[jax.Array, Any]:
        losses, others = of_all(params)
        leaves = jax.tree.leaves(losses)
        several = leaves[0] if jnp.ndim(leaves[0]) else jnp.stack(leaves)
        return several[number], others

    def first(others: Any) -> Any:
        return jax.tree.map(lambda x: x[0], others)

    return Rows(jnp.arange(len(names)), of_player, names, first, of_all)


def _names(losses: Any) -> list[str]:
    if isinstance(losses, Mapping):
        return [str(name) for name in sorted(losses)]
    shapes = [leaf.shape for leaf in jax.tree.leaves(losses)]
    if len(shapes) == 1 and len(shapes[0]) == 1:
        return [str(number) for number in range(shapes[0][0])]
    if isinstance(losses, list) and shapes and not any(shapes):
        return [str(number) for number in range(len(shapes))]
    raise ValueError(
        "`loss` must return the losses of the players where they are tasks, an array "
        f"[P], a list or a dictionary, got shapes {', '.join(map(str, shapes))}."
    )
