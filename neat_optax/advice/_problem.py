"""What is examined: losses of several players at parameters that are a copy."""

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _checks
from neat_optax.players import _losses, _modules
from neat_optax.players._gradients import value_and_player_grads
from neat_optax.players._shared import shared_params

MOST_FOLLOWED = 64
"""So many players are asked which parameters they depend on."""


class Point(NamedTuple):
    """Where the probe is: parameters, and what a module carries besides."""

    params: Any
    rest: Any


class Problem(NamedTuple):
    """Losses that can be differentiated, and the batches to do it on.

    Attributes:
      start: where the caller's parameters are.
      gradients: from a point and a batch to losses [P], gradients [P, ...], and what
        the module carries afterwards.
      losses: likewise, without the gradients.
      batches: all of one shape.
      pairs: pairs of batches that are independent draws, to be taken in turn; None in
        the second place where there is one batch only.
      players: their names.
      shared: of each array, whether more than one player's loss depends on it; all of
        them where none is shared.
      is_module: whether the caller's parameters are in an `nnx.Module`.
    """

    start: Point
    gradients: Callable[[Point, Any], tuple[jax.Array, Any, Any]]
    losses: Callable[[Point, Any], tuple[jax.Array, Any]]
    batches: list[Any]
    pairs: list[tuple[Any, Any]]
    players: tuple[str, ...]
    shared: tuple[bool, ...]
    is_module: bool = False

    @property
    def has_heads(self) -> bool:
        """Whether some arrays belong to one player alone."""
        return not all(self.shared)

    @property
    def num_players(self) -> int:
        """`P`."""
        return len(self.players)

    @property
    def is_sampled(self) -> bool:
        """Whether there is a second draw to compare a batch with."""
        return self.pairs[0][1] is not None


def pose(
    losses_fn: Any,
    params: Any,
    batches: Any,
    *,
    most: int,
    halves: Callable[[Any], tuple[Any, Any]] | None = None,
    has_aux: bool = False,
    players: Iterable[str] | None = None,
) -> Problem:
    """The problem that the caller describes; nothing of the caller's is written.

    Args:
      losses_fn: as in `value_and_player_grads`, called with parameters and a batch.
      params: a tree, or an `nnx.Module`.
      batches: a list, an iterator, or a function from a number to a batch.
      most: how many batches are read at most.
      halves: from a batch to two independent halves of it.
      has_aux: whether the losses come with something else.
      players: their names.
    """
    _losses.check_loss_fn(losses_fn, "losses_fn")
    _checks.check_bool("has_aux", has_aux)
    _takes_a_batch(losses_fn)
    read = _read(batches, most)
    given = _modules.opened(params)
    of_players = value_and_player_grads(losses_fn, has_aux=has_aux)
    start = jax.tree.map(jnp.asarray, Point(given.params, given.rest))

    def gradients(point: Point, batch: Any) -> tuple[jax.Array, Any, Any]:
        model = given.merge(point.params, given.keys, point.rest)
        found, rows = of_players(model, batch)
        return found[0] if has_aux else found, rows, given.carried(model)

    def losses(point: Point, batch: Any) -> tuple[jax.Array, Any]:
        model = given.merge(point.params, given.keys, point.rest)
        found = _losses.call(losses_fn, has_aux, model, batch)[0]
        return _losses.stacked(found), given.carried(model)

    seen = jax.eval_shape(losses, start, read[0])[0]
    named = _named(losses_fn, has_aux, given, start, read[0], len(seen))
    names = _chosen(players, named)
    shared = _shared(losses, start, read[0], len(names))
    pairs, is_module = _paired(read, halves), given.params is not params
    return Problem(start, gradients, losses, read, pairs, names, shared, is_module)


def _takes_a_batch(losses_fn: Any) -> None:
    """Raises where a function takes the parts of a batch one by one."""
    try:
        signature = inspect.signature(losses_fn)
    except (TypeError, ValueError):  # a list, or a function that cannot be looked into
        return
    try:
        signature.bind("params", "batch")
    except TypeError as error:
        raise ValueError(
            "`losses_fn` must take parameters and one batch, got one that takes "
            f"{signature}: pass `lambda params, batch: losses_fn(params, *batch)`."
        ) from error


def _shared(losses: Any, start: Point, batch: Any, count: int) -> tuple[bool, ...]:
    """Read from the operations of the losses; players that are many share all."""
    everything = (True,) * len(jax.tree.leaves(start.params))
    if count > MOST_FOLLOWED:
        return everything

    def of_params(params: Any) -> jax.Array:
        return losses(start._replace(params=params), batch)[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is not followed is shared
        found = shared_params(of_params, start.params)
    flags = tuple(jax.tree.leaves(found))
    return flags if any(flags) else everything


def _read(batches: Any, most: int) -> list[Any]:
    if callable(batches):
        found = [batches(number) for number in range(most)]
    elif isinstance(batches, Mapping) or not isinstance(batches, Iterable):
        raise ValueError(
            "`batches` must be a list of batches, an iterator or a function from a "
            f"number to a batch, got {type(batches).__name__}: put one batch in a list."
        )
    else:
        found = list(itertools.islice(batches, most))
    if not found:
        raise ValueError("`batches` must hold at least one batch, got none.")
    first = _shape(found[0])
    for number, batch in enumerate(found):
        if _shape(batch) != first:
            hint = (
                "put one batch in a list"
                if isinstance(batches, tuple)
                else "leave out a last batch that is smaller"
            )
            raise ValueError(
                "`batches` must all have one shape, got another for number "
                f"{number}: {hint}."
            )
    return found


def _shape(batch: Any) -> Any:
    leaves, treedef = jax.tree.flatten(batch)
    return treedef, [jnp.shape(leaf) for leaf in leaves]


def _paired(
    batches: list[Any], halves: Callable[[Any], tuple[Any, Any]] | None
) -> list[tuple[Any, Any]]:
    """Two draws for each turn: halves, or a batch and the one after it."""
    if halves is not None:
        _checks.check_function("halves", halves)
        return [tuple(halves(batch)) for batch in batches]
    if len(batches) == 1:
        return [(batches[0], None)]
    return list(zip(batches, batches[1:] + batches[:1], strict=True))


def _named(
    losses_fn: Any, has_aux: bool, given: Any, start: Point, batch: Any, count: int
) -> Sequence[str]:
    """The names that the losses themselves have, or numbers."""
    if isinstance(losses_fn, Mapping):
        return sorted(losses_fn)
    keys: list[str] = []

    def trace(point: Point) -> None:
        model = given.merge(point.params, given.keys, point.rest)
        if callable(losses_fn):
            out: Any = losses_fn(model, batch)
            out = out[0] if has_aux else out
            keys.extend(sorted(out) if isinstance(out, Mapping) else [])

    jax.eval_shape(trace, start)
    return keys or [f"player {number}" for number in range(count)]


def _chosen(players: Iterable[str] | None, named: Sequence[str]) -> tuple[str, ...]:
    if players is None:
        return tuple(map(str, named))
    chosen = tuple(players)
    if len(chosen) != len(named):
        raise ValueError(
            f"`players` must have a name for each of the {len(named)} losses, got "
            f"{', '.join(map(str, chosen)) or 'none'}."
        )
    return tuple(map(str, chosen))


def finite_losses(losses: np.ndarray) -> None:
    """Raises where no player's loss is a number at the start."""
    if not np.isfinite(losses[0]).any():
        raise ValueError(
            "`losses_fn` must return finite losses at `params`, got "
            f"{losses[0].tolist()}."
        )
