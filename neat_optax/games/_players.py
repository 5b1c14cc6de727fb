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
      ValueError: if `players` is no plain list, tuple or dictionary, or is empty.
    """
    given, structure = jax.tree.flatten(players, lambda node: node is not players)
    listed = isinstance(players, Sequence | Mapping) and len(given) == len(players)
    if not listed or not given:  # Flax's containers hold more than their entries
        raise ValueError(
            "`players` must be a list, tuple or dictionary with a tree of parameters "
            f"for each player, got {_kind(players)}."
        )
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
        named = _naming(loss_fn, has_aux, players)
        losses, aux = _losses.call(named, has_aux, point, *args, **kwargs)
        losses = tuple(losses)
        _check_one_each(losses, len(opened))
        pairs = zip(opened, models, strict=True)
        return losses, (aux, [player.carried(model) for player, model in pairs])

    def keep(rests: list[Any]) -> None:
        for player, rest in zip(opened, rests, strict=True):
            player.keep(rest)

    params = [player.params for player in opened]
    return Seats(params, structure.unflatten, structure.flatten_up_to, evaluate, keep)


def _kind(players: Any) -> str:
    """A short word for what is no container of players."""
    empty = isinstance(players, Sequence | Mapping) and not players
    return repr(players) if empty else type(players).__name__


def _naming(loss_fn: Any, has_aux: bool, players: Any) -> Any:
    """The losses, or functions, which must have the players' names if both have any."""
    if not isinstance(players, Mapping):
        return loss_fn
    if isinstance(loss_fn, Mapping):
        _check_names(loss_fn, players)
    if not callable(loss_fn):
        return loss_fn

    def checked(*args: Any, **kwargs: Any) -> Any:
        out: Any = loss_fn(*args, **kwargs)
        losses = out[0] if has_aux else out
        if isinstance(losses, Mapping):
            _check_names(losses, players)
        return out

    return checked


def _check_names(losses: Any, players: Any) -> None:
    if set(losses) != set(players):
        wanted, got = (" and ".join(map(str, sorted(x))) for x in (players, losses))
        raise ValueError(
            f"`loss_fn` must name its losses like the players, {wanted}, got {got}."
        )


def _check_one_each(losses: tuple[Any, ...], count: int) -> None:
    if len(losses) != count:
        raise ValueError(
            f"`loss_fn` must return one loss for each of the {count} players, got "
            f"{len(losses)}."
        )
