"""Checkpoints of one candidate: a folder with the last ones, written by orbax.

They are written beside the training that goes on. Where one is damaged, the one before
it serves.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from neat_optax import _saving

_METADATA = "_CHECKPOINT_METADATA"
_PREFIX = "epoch"
OPTION = "name"
"""What the command line names a run by."""
_SCORE = "validation_accuracy"


class Keep(NamedTuple):
    """Which checkpoints stay."""

    last: int = 2
    best: bool = False  # the one with the highest score on validation data too


class Writer(_saving.Saver):
    """Adds checkpoints to a folder, and deletes those that are not kept."""

    def __init__(self, folder: pathlib.Path, keep: Keep):
        _check_ours(folder)
        self._rows: list[dict[str, Any]] = []
        self._keep = keep
        super().__init__(folder, _PREFIX, self._kept_epochs)

    def save_rows(self, epoch: int, replicas: Any, rows: Any) -> None:
        """Begins a checkpoint after `epoch` epochs; the one before is whole by then."""
        self._rows = list(rows)
        self.save(epoch, replicas, rows={"rows": self._rows})

    def _kept_epochs(self, epochs: list[int]) -> set[int]:
        kept = set(epochs[-self._keep.last :])
        if self._keep.best:
            kept.add(max(epochs, key=lambda epoch: (score(self._rows, epoch), epoch)))
        return kept


def score(rows: Sequence[dict[str, Any]], epoch: int) -> float:
    """Of an epoch: that of the best rate, the mean over its seeds."""
    if not 0 < epoch <= len(rows):
        return -np.inf
    means = np.mean(rows[epoch - 1].get(_SCORE, [[-np.inf]]), axis=1)
    return float(np.max(np.nan_to_num(means, nan=-np.inf)))


def restore(
    folder: pathlib.Path, like: Any, only: int | None = None
) -> tuple[int, Any, list[dict]] | None:
    """The last checkpoint that can be read: its epoch, replicas and rows.

    Those after it are put aside.

    Args:
      folder: of a candidate.
      like: of the same structure, shapes and dtypes as the replicas.
      only: the epoch of the one checkpoint that will do; by default any does.
    """
    return _last_readable(folder, like, OPTION, only)


def read(folder: pathlib.Path, epoch: int, like: Any) -> tuple[Any, list[dict]]:
    """A checkpoint's replicas and rows, of a run that may be at work.

    Args:
      folder: of a candidate.
      epoch: one of `saved(folder)`.
      like: of the same structure, shapes and dtypes as the replicas.
    """
    found = _last_readable(folder, like, "run", epoch)
    assert found is not None
    return found[1:]


def saved(folder: pathlib.Path) -> list[int]:
    """The epochs whose checkpoints are there and whole, as far as their names say."""
    names = (path.name.rpartition("_") for path in folder.glob(f"{_PREFIX}_*"))
    return sorted(int(number) for *_, number in names if number.isdecimal())


def _last_readable(
    folder: pathlib.Path,
    like: Any,
    option: str,
    only: int | None,
) -> tuple[int, Any, list[dict]] | None:
    _check_ours(folder)
    of_another = (
        f"`{option}` must be that of a run of this version, got {folder}, whose "
        "checkpoints hold something else."
    )
    last = _saving.restore(
        folder,
        _PREFIX,
        like,
        ("rows",),
        of_another=of_another,
        option=option,
        only=only,
    )
    return None if last is None else (*last[:2], last.notes["rows"]["rows"])


def _check_ours(folder: pathlib.Path) -> None:
    """Raises where orbax would take something for a checkpoint that is none of ours."""
    if not folder.is_dir():
        return
    for path in filter(pathlib.Path.is_dir, folder.iterdir()):
        prefix, _, number = path.name.rpartition("_")
        written = (path / _METADATA).exists()
        if prefix == _PREFIX and number.isdigit() and not written:
            raise ValueError(
                f"`{OPTION}` must be that of a run with checkpoints of its own, got "
                f"{path}."
            )
        if path.name.isdigit() and written and path.with_suffix(".json").exists():
            raise ValueError(
                f"`{OPTION}` must be that of a run of this version, got {folder}, "
                "which an earlier one has written."
            )
