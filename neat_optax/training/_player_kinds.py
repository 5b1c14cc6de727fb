"""Who the players of a batch are, as values that a training step takes."""

from collections.abc import Callable
from typing import Any, NamedTuple

from neat_optax import _checks

Choice = bool | Callable[[Any], bool]
"""Whether gradients stay factors; of a leaf, from a row of `neat_optax.explain`."""


class PlayerKind(NamedTuple):
    """Made by `examples`, `tasks` or `microbatches`.

    Attributes:
      kind: the name of the function that made it.
      num_players: how many there are; None where the batch or the loss tells.
      chunk_size: how many of them are computed at a time; None: all.
      factored: whether gradients may stay factors, or which of them may.
    """

    kind: str
    num_players: int | None = None
    chunk_size: int | None = None
    factored: Choice = False


def examples(
    *,
    chunk_size: int | None = None,
    factored: Choice = True,
) -> PlayerKind:
    """Every example of a batch is a player.

    The loss is called with batches of one example. A layer that mixes the examples of a
    batch and remembers their statistics is refused.

    Args:
      chunk_size: how many players are computed at a time: memory for the activations
        of so many. All of them by default.
      factored: whether gradients stay factors of outer products where that is cheaper
        and the optimizer reads them, as in `value_and_example_grads`, or where a
        function of a row of `neat_optax.explain` says so. With False they are formed:
        `P` times the parameters.

    Example:
      >>> examples(chunk_size=8)
      PlayerKind(kind='examples', num_players=None, chunk_size=8, factored=True)
    """
    return _kind("examples", None, chunk_size, factored)


def tasks(*, chunk_size: int | None = None) -> PlayerKind:
    """Every loss of a batch is a player: the loss function returns several.

    It returns an array [P], a list or a dictionary, as for `value_and_player_grads`.

    Args:
      chunk_size: of losses in an array, how many backward passes are made at a time.

    Example:
      >>> tasks().kind
      'tasks'
    """
    return _kind("tasks", None, chunk_size)


def microbatches(
    count: int,
    *,
    chunk_size: int | None = None,
    factored: Choice = False,
) -> PlayerKind:
    """Every one of `count` equal parts of a batch is a player.

    The loss is called with one part. Statistics of batches are those of the parts, and
    what the model carries on is the mean over the parts.

    Args:
      count: `P`, which divides the batch.
      chunk_size: how many players are computed at a time. All of them by default.
      factored: as for `examples`. Not by default: many examples of one player leave
        less to gain.

    Example:
      >>> microbatches(4).num_players
      4
    """
    _checks.check_count("count", count, minimum=1, schedule=False)
    return _kind("microbatches", count, chunk_size, factored)


def _kind(
    kind: str, count: int | None, chunk_size: int | None, factored: Choice = False
) -> PlayerKind:
    if chunk_size is not None:
        _checks.check_count("chunk_size", chunk_size, minimum=1, schedule=False)
    if not callable(factored):
        _checks.check_bool("factored", factored)
    return PlayerKind(kind, count, chunk_size, factored)
