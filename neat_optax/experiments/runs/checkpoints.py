"""Checkpoints of one candidate: a folder with the last two, written by orbax.

Where one is damaged, the one before it serves.
"""

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from neat_optax import _damage

_METADATA = "_CHECKPOINT_METADATA"
_PREFIX = "epoch"
OPTION = "name"
"""What the command line names a run by."""


def save(folder: pathlib.Path, epoch: int, replicas: Any, rows: Any) -> None:
    """Adds a checkpoint after `epoch` epochs, and keeps the one before."""
    both = ocp.args.Composite(
        state=ocp.args.StandardSave(replicas),
        rows=ocp.args.JsonSave({"rows": rows}),
    )
    with _manager(folder) as manager:
        manager.save(epoch, args=both)


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
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    with _manager(folder) as manager:

        def load(epoch: int, state: Any) -> Any:
            both = ocp.args.Composite(state=state, rows=ocp.args.JsonRestore())
            return manager.restore(epoch, args=both)

        def read(epoch: int) -> tuple[Any, list[dict]]:
            found = load(epoch, ocp.args.StandardRestore(abstract))
            return found.state, found.rows["rows"]

        epochs = [epoch for epoch in manager.all_steps() if only in (None, epoch)]
        last = _damage.last_readable(
            {epoch: folder / f"{_PREFIX}_{epoch}" for epoch in epochs},
            read,
            lambda epoch: load(epoch, ocp.args.StandardRestore()),
            f"`{OPTION}` must be that of a run of this version, got {folder}, whose "
            "checkpoints hold something else.",
            OPTION,
        )
    return None if last is None else (last[0], *last[1])


def _manager(folder: pathlib.Path) -> ocp.CheckpointManager:
    """Keeps two checkpoints in a folder, and deletes what saves cut off have left."""
    if folder.is_dir():
        _check_ours(folder)
    options = ocp.CheckpointManagerOptions(
        step_prefix=_PREFIX,
        max_to_keep=2,
        cleanup_tmp_directories=True,
        enable_async_checkpointing=False,
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
