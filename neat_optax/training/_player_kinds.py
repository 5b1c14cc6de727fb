"""Who the players of a batch are, as values that a training step takes."""

from typing import NamedTuple

from neat_optax import _checks


class PlayerKind(NamedTuple):
    """Made by `examples`, `tasks` or `microbatches`.

    Attributes:
      kind: the name of the function that made it.
      num_players: how many there are; None where the batch or the loss tells.
      chunk_size: how many of them are computed at a time; None: all.
    """

    kind: str
    num_players: int | None = None
    chunk_size: int | None = None


def examples(*, chunk_size: int | None = None) -> PlayerKind:
    """Every example of a batch is a player.

    The loss is called with batches of one example. A layer that mixes the examples of a
    batch and remembers their statistics is refused.

    Args:
      chunk_size: how many players are computed at a time: memory for the activations
        of so many. All of them by default.

    Example:
      >>> examples(chunk_size=8)
      PlayerKind(kind='examples', num_players=None, chunk_size=8)
    """
    return _kind("examples", None, chunk_size)


def tasks(*, chunk_size: int | None = None) -> PlayerKind:
    """Every loss of a batch is a player: the loss function returns several.

    It returns an array [P], a list or a dictionary, as for `value_and_player_grads`.

    Args:
      chunk_size: of losses in an array, how many backward passes are made at a time.

    Example:
      >>> tasks()
      PlayerKind(kind='tasks', num_players=None, chunk_size=None)
    """
    return _kind("tasks", None, chunk_size)


def microbatches(count: int, *, chunk_size: int | None = None) -> PlayerKind:
    """Every one of `count` equal parts of a batch is a player.

    The loss is called with one part. Statistics of batches are those of the parts, and
    what the model carries on is the mean over the parts.

    Args:
      count: `P`, which divides the batch.
      chunk_size: how many players are computed at a time. All of them by default.

    Example:
      >>> microbatches(4)
      PlayerKind(kind='microbatches', num_players=4, chunk_size=None)
    """
    _checks.check_count("count", count, minimum=1, schedule=False)
    return _kind("microbatches", count, chunk_size)


def _kind(kind: str, count: int | None, chunk_size: int | None) -> PlayerKind:
    if chunk_size is not None:
        _checks.check_count("chunk_size", chunk_size, minimum=1, schedule=False)
    return PlayerKind(kind, count, chunk_size)
