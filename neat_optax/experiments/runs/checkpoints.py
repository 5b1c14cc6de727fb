"""Checkpoints of one candidate: a folder with the last ones, written by orbax.

They are written beside the training that goes on. Where one is damaged, the one before
it serves.
"""

import errno
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from neat_optax import _damage

_METADATA = "_CHECKPOINT_METADATA"
_PREFIX = "epoch"
OPTION = "name"
"""What the command line names a run by."""
_SCORE = "validation_accuracy"
_SLACK = 2**20
"""Bytes that a checkpoint takes beside its arrays, at most."""


class Keep(NamedTuple):
    """Which checkpoints stay."""

    last: int = 2
    best: bool = False  # the one with the highest score on validation data too


class Writer:
    """Adds checkpoints to a folder, and deletes those that are not kept."""

    def __init__(self, folder: pathlib.Path, keep: Keep):
        self.folder = folder
        self._rows: list[dict[str, Any]] = []
        self._keep = keep
        self._manager = _manager(folder, self)

    def save(self, epoch: int, replicas: Any, rows: Any) -> None:
        """Begins a checkpoint after `epoch` epochs; the one before is whole by then."""
        _check_room(self.folder, replicas)
        self._rows = list(rows)
        both = ocp.args.Composite(
            state=ocp.args.StandardSave(jax.tree.map(_copied, replicas)),
            rows=ocp.args.JsonSave({"rows": self._rows}),
        )
        self._manager.save(epoch, args=both)

    def wait(self) -> None:
        """Returns when what was begun is written; raises if it could not be."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and lets go of the folder."""
        self._manager.close()

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: Any
    ) -> Sequence[bool]:
        """Which of the checkpoints stay, oldest first: a policy of orbax's kind."""
        del context
        epochs = [checkpoint.step for checkpoint in checkpoints]
        kept = set(sorted(epochs)[-self._keep.last :])
        if self._keep.best:
            kept.add(max(epochs, key=lambda epoch: (score(self._rows, epoch), epoch)))
        return [epoch in kept for epoch in epochs]


def _check_room(folder: pathlib.Path, replicas: Any) -> None:
    """Raises where the disk is full, before half a checkpoint is written."""
    needed = _SLACK + sum(getattr(x, "nbytes", 8) for x in jax.tree.leaves(replicas))
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _copied(leaf: Any) -> Any:
    """What the next step cannot overwrite: it is given the buffers of the replicas."""
    is_key = jnp.issubdtype(jax.typeof(leaf).dtype, jax.dtypes.prng_key)
    return jnp.array(leaf) if is_key else np.array(leaf)


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
    if not folder.is_dir():
        return None
    epochs = [epoch for epoch in saved(folder) if only in (None, epoch)]
    with _manager(folder) as manager:
        return _last_readable(manager, folder, epochs, like, OPTION)


def read(folder: pathlib.Path, epoch: int, like: Any) -> tuple[Any, list[dict]]:
    """A checkpoint's replicas and rows, of a run that may be at work.

    Args:
      folder: of a candidate.
      epoch: one of `saved(folder)`.
      like: of the same structure, shapes and dtypes as the replicas.
    """
    with _manager(folder, reads=True) as manager:
        found = _last_readable(manager, folder, [epoch], like, "run")
    assert found is not None
    return found[1:]


def saved(folder: pathlib.Path) -> list[int]:
    """The epochs whose checkpoints are there and whole, as far as their names say."""
    names = (path.name.rpartition("_") for path in folder.glob(f"{_PREFIX}_*"))
    return sorted(int(number) for *_, number in names if number.isdecimal())


def _last_readable(
    manager: ocp.CheckpointManager,
    folder: pathlib.Path,
    epochs: Sequence[int],
    like: Any,
    option: str,
) -> tuple[int, Any, list[dict]] | None:
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)

    def load(epoch: int, state: Any) -> Any:
        both = ocp.args.Composite(state=state, rows=ocp.args.JsonRestore())
        return manager.restore(epoch, args=both)

    def read_one(epoch: int) -> tuple[Any, list[dict]]:
        found = load(epoch, ocp.args.StandardRestore(abstract))
        return found.state, found.rows["rows"]

    last = _damage.last_readable(
        {epoch: folder / f"{_PREFIX}_{epoch}" for epoch in epochs},
        read_one,
        lambda epoch: load(epoch, ocp.args.StandardRestore()),
        f"`{option}` must be that of a run of this version, got {folder}, whose "
        "checkpoints hold something else.",
        option,
    )
    return None if last is None else (last[0], *last[1])


def _manager(
    folder: pathlib.Path, policy: Writer | None = None, reads: bool = False
) -> ocp.CheckpointManager:
    """Of a folder, in which it deletes what saves cut off have left.

    Args:
      folder: of a candidate.
      policy: says what stays, and lets saves go on in the background.
      reads: whether it changes nothing, since another process may be saving.
    """
    if folder.is_dir():
        _check_ours(folder)
    options = ocp.CheckpointManagerOptions(
        step_prefix=_PREFIX,
        preservation_policy=policy,
        cleanup_tmp_directories=not reads,
        enable_async_checkpointing=policy is not None,
    )
    return ocp.CheckpointManager(folder.resolve(), options=options)


def _check_ours(folder: pathlib.Path) -> None:
    """Raises where orbax would take something for a checkpoint that is none of ours."""
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
