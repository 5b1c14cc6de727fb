"""A training on disk: checkpoints of state and progress, written by orbax.

folder/step_<n>/   the state after n steps, and how far its epoch and history are
       .lock       held by the training that writes here
"""

import contextlib
import os
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from neat_optax import _checks, _lock, _saving
from neat_optax.training._flax_state import opened
from neat_optax.training._state import TrainingState

_PREFIX = "step"
_FORMAT = 2
_NOTES = ("about",)


class Checkpoint(NamedTuple):
    """Where and when `fit` writes checkpoints; a path alone stands for the defaults.

    Attributes:
      folder: where to; it may be new, and nothing else may be in it.
      every: after how many steps; by default after every epoch. The end of the training
        is always written.
      keep: how many of the last are kept, at least 2: if one is damaged, the one before
        it serves.
      best: a name in the logs of an epoch; the epoch that is best by it is kept too.
      mode: "min" or "max": which values of it are better.

    Example:
      >>> Checkpoint("run", every=100, best="val_accuracy", mode="max").keep
      2
    """

    folder: str | os.PathLike[str]
    every: int | None = None
    keep: int = 2
    best: str | None = None
    mode: str = "min"


class Progress(NamedTuple):
    """How far a training is, beside its state."""

    epoch: int = 0  # epochs that are complete
    position: int = 0  # steps of the next one that are taken
    sums: Mapping[str, float] = MappingProxyType({})  # of its logs
    rows: tuple[dict[str, float], ...] = ()  # the logs of complete epochs
    ends: tuple[int, ...] = ()  # how many steps were taken when they ended
    data: Any = None  # where the iterator of batches stands, if it can say so


class Folder:
    """The checkpoints of one training. Opening it creates or resumes the folder."""

    def __init__(self, checkpoint: Any, identity: dict[str, Any]):
        self.options = as_checkpoint(checkpoint)
        self.path = pathlib.Path(self.options.folder).resolve()
        self._identity = {"format": _FORMAT, **identity}
        self._best: int | None = None
        self.path.mkdir(parents=True, exist_ok=True)
        _check_free(self.path)
        self._held = contextlib.ExitStack()
        self._held.callback(_lock.hold(self.path, "checkpoint"))

    def restore(self, like: TrainingState) -> tuple[TrainingState, Progress]:
        """The last checkpoint that can be read; (like, Progress()) if there is none.

        From then on checkpoints can be saved.
        """
        found = _restore(self.path, like)
        state, progress = like, Progress()
        if found is not None:
            state, about = found.state, found.notes["about"]
            _check_identity(self.path, about.pop("identity"), self._identity)
            self._best = about.pop("best")
            rows, ends = tuple(about.pop("rows")), tuple(about.pop("ends"))
            progress = Progress(rows=rows, ends=ends, **about)
        self._saver = _saving.Saver(self.path, _PREFIX, self._kept)
        self._held.callback(self._saver.close)
        return state, progress

    def is_due(self, progress: Progress) -> bool:
        """Whether the end of an epoch is to be saved, which is the last of progress."""
        self._best = self._best_end(progress)
        every, end = self.options.every, progress.ends[-1]
        return every is None or end % every == 0 or end == self._best

    def save(self, number: int, state: TrainingState, progress: Progress) -> None:
        """Begins a checkpoint of so many steps, unless there is one."""
        self._best = self._best_end(progress)
        about = {**progress._asdict(), "sums": dict(progress.sums)}
        about |= {"identity": self._identity, "best": self._best}
        self._saver.save(number, state, about=about)

    def _best_end(self, progress: Progress) -> int | None:
        """The steps after which the best epoch ended."""
        name = self.options.best
        if name is None or not progress.rows:
            return None
        if name not in progress.rows[-1]:
            known = ", ".join(progress.rows[-1])
            raise ValueError(f"`best` must be in the logs, {known}, got {name}.")
        values = [row[name] for row in progress.rows]
        return progress.ends[best_row(values, self.options.mode)]

    def _kept(self, numbers: list[int]) -> set[int | None]:
        return {*numbers[-self.options.keep :], self._best}

    def close(self) -> None:
        """Waits for what is being written, and lets go of the folder."""
        self._held.close()


def load_checkpoint(checkpoint: Any, like: Any, *, best: bool = False) -> Any:
    """The state in a folder that `fit` has written.

    Args:
      checkpoint: the folder, or the `Checkpoint`.
      like: a state of the same structure, such as `step.init()`.
      best: whether it is that of the best epoch instead of the last.

    Raises:
      ValueError: if there is none, or one of another state.
    """
    path = pathlib.Path(as_checkpoint(checkpoint).folder).resolve()
    like, close = opened(like)
    found = _restore(path, like)
    if found is not None and best:
        number = found.notes["about"]["best"]
        found = None if number is None else _restore(path, like, number)
    if found is None:
        kind = "checkpoints of the best epoch" if best else "checkpoints"
        raise ValueError(f"`checkpoint` must be a folder with {kind}, got {path}.")
    return close(found.state)


def as_checkpoint(checkpoint: Any) -> Checkpoint:
    """A `Checkpoint` that is checked, of one or of a path."""
    if not isinstance(checkpoint, Checkpoint):
        if not isinstance(checkpoint, str | os.PathLike):
            raise ValueError(
                f"`checkpoint` must be a folder or a Checkpoint, got {checkpoint!r}."
            )
        checkpoint = Checkpoint(checkpoint)
    _checks.check_count("keep", checkpoint.keep, minimum=2, schedule=False)
    _checks.check_choice("mode", checkpoint.mode, ("min", "max"))
    if checkpoint.every is not None:
        _checks.check_count("every", checkpoint.every, minimum=1, schedule=False)
    return checkpoint


def best_row(values: list[float], mode: str) -> int:
    """The number of the first best value; those that are not numbers come last."""
    sign = 1 if mode == "min" else -1
    ranks = [sign * value if value == value else float("inf") for value in values]
    return ranks.index(min(ranks))


def _restore(
    folder: pathlib.Path,
    like: TrainingState,
    only: int | None = None,
) -> _saving.Saved | None:
    of_another = (
        f"`checkpoint` must be a folder of this training, got {folder} of one with "
        "another model, optimizer or step."
    )
    return _saving.restore(
        folder,
        _PREFIX,
        like,
        _NOTES,
        of_another=of_another,
        option="checkpoint",
        only=only,
    )


def _check_free(folder: pathlib.Path) -> None:
    """Raises if files of something else are there."""
    others = [
        path.name
        for path in folder.iterdir()
        if path.name != _lock.LOCK and not path.name.startswith(f"{_PREFIX}_")
    ]
    if others:
        raise ValueError(
            f"`checkpoint` must be a folder of its own, got {folder} with {others[0]}."
        )


def _check_identity(
    folder: pathlib.Path, known: dict[str, Any], identity: dict[str, Any]
) -> None:
    for name, value in identity.items():
        if known.get(name) != value:
            raise ValueError(
                f"`{name}` must be that of the training in {folder}, "
                f"{known.get(name)}, got {value}: go on with that, or take another "
                "folder."
            )
