"""The players of a game: a list, tuple or dictionary of what each may change."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from neat_optax import _checks
from neat_optax.players import _losses, _modules


class Seats(NamedTuple):
    """Players taken apart, in the order of their list or of their sorted names."""

    params: list[Any]  # what each player may change
    together: Callable[[Sequence[Any]], Any]  # from one tree for each to the container
    apart: Callable[[Any], list[Any]]  # and back
    evaluate: Callable[[list[Any]], tuple[tuple[Any, ...], Any]]  # (losses, others)
    keep: Callable[[list[Any]], None]  # of what modules carry


def seated(loss_fn: Any, has_aux: bool, players: Any, args: Any, kwargs: Any) -> Seats:
    """The players of one call, and the losses as a function of their parameters.

    Raises:
      ValueError: if `players` is no list, tuple or dictionary, or has none in it.
    """
    if not isinstance(players, Sequence | Mapping) or not players:
        raise ValueError(
            "`players` must be a list, tuple or dictionary with a tree of parameters "
            f"for each player, got {players!r}."
        )
    given, structure = jax.tree.flatten(players, lambda node: node is not players)
    opened = [_modules.opened(player, "players") for player in given]
    for player in opened:
        for leaf in jax.tree.leaves(player.params):
            _checks.check_real("players", leaf.dtype)

    def evaluate(params: list[Any]) -> tuple[tuple[Any, ...], Any]:
        models = [
            player.merge(weights, player.keys, player.rest)
            for player, weights in zip(opened, params, strict=True)
        ]
        point = structure.unflatten(models)
        losses, aux = _losses.call(loss_fn, has_aux, point, *args, **kwargs)
        losses = tuple(losses)
        _check_one_each(losses, len(opened))
        pairs = zip(opened, models, strict=True)
        return losses, (aux, [player.carried(model) for player, model in pairs])

    def keep(rests: list[Any]) -> None:
        for player, rest in zip(opened, rests, strict=True):
            player.keep(rest)

    params = [player.params for player in opened]
    return Seats(params, structure.unflatten, structure.flatten_up_to, evaluate, keep)


def _check_one_each(losses: tuple[Any, ...], count: int) -> None:
    if len(losses) != count:
        raise ValueError(
            f"`loss_fn` must return one loss for each of the {count} players, got "
            f"{len(losses)}."
        )
