"""Numbered checkpoints by orbax, written beside the training that goes on.

Each is whole or not there: orbax writes it under another name, and renames it at last.
"""

import errno
import os
import pathlib
import shutil
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from neat_optax import _damage

_SLACK = 2**20
"""Bytes that a checkpoint takes beside its arrays, at most."""


class Saver:
    """Adds checkpoints to a folder, and deletes those that are not kept.

    Args:
      folder: of checkpoints of one kind.
      prefix: what their names begin with.
      kept: from all numbers, the latest last, to those that stay.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        prefix: str,
        kept: Callable[[list[int]], Collection[int | None]],
    ):
        self.folder, self._kept = folder, kept
        self._manager = _manager(folder, prefix, self)

    def save(self, number: int, state: Any, **notes: Any) -> None:
        """Begins a checkpoint, unless there is one; the one before is whole by then.

        Args:
          number: of the checkpoint, more than those before.
          state: a tree of arrays, whose memory may be taken over afterwards.
          **notes: what else it holds, as JSON.
        """
        if number in self._manager.all_steps():
            return
        _check_room(self.folder, state)
        rest = {name: ocp.args.JsonSave(note) for name, note in notes.items()}
        arrays = ocp.args.StandardSave(jax.tree.map(_copied, state))
        self._manager.save(number, args=ocp.args.Composite(state=arrays, **rest))

    def wait(self) -> None:
        """Returns when what was begun is written; raises if it could not be."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and lets go of the folder."""
        self._manager.close()

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: Any
    ) -> Sequence[bool]:
        """Which of the checkpoints stay: a policy of orbax's kind."""
        del context
        numbers = [checkpoint.step for checkpoint in checkpoints]
        kept = self._kept(sorted(numbers))
        return [number in kept for number in numbers]


class Saved(NamedTuple):
    """A checkpoint that was read."""

    number: int
    state: Any
    notes: dict[str, Any]


def restore(
    folder: pathlib.Path,
    prefix: str,
    like: Any,
    notes: Sequence[str],
    *,
    of_another: str,
    option: str,
    only: int | None = None,
) -> Saved | None:
    """The last checkpoint that can be read; None if there is none.

    Those after it are put aside.

    Args:
      folder: of the checkpoints.
      prefix: what their names begin with.
      like: of the same structure, shapes and dtypes as the state.
      notes: names of what else is read.
      of_another: what is said where they are of another training.
      option: what the caller has named the folder by.
      only: the number of the one checkpoint that will do; by default any does.
    """
    if not folder.is_dir():
        return None
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    with _manager(folder, prefix) as manager:

        def load(number: int, state: Any) -> Any:
            parts = {name: ocp.args.JsonRestore() for name in notes}
            both = ocp.args.Composite(state=state, **parts)
            return manager.restore(number, args=both)

        def read(number: int) -> Saved:
            found = load(number, ocp.args.StandardRestore(abstract))
            return Saved(number, found.state, {name: found[name] for name in notes})

        numbers = [x for x in manager.all_steps() if only in (None, x)]
        last = _damage.last_readable(
            {number: folder / f"{prefix}_{number}" for number in numbers},
            read,
            lambda number: load(number, ocp.args.StandardRestore()),
            of_another,
            option,
        )
    return None if last is None else last[1]


def _check_room(folder: pathlib.Path, state: Any) -> None:
    """Raises where the disk is full, before half a checkpoint is written."""
    needed = _SLACK + sum(getattr(x, "nbytes", 8) for x in jax.tree.leaves(state))
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _copied(leaf: Any) -> Any:
    """What the next step cannot overwrite: it is given the memory of the state."""
    here = not isinstance(leaf, jax.Array) or leaf.is_fully_addressable
    is_key = jnp.issubdtype(jax.typeof(leaf).dtype, jax.dtypes.prng_key)
    return np.array(leaf) if here and not is_key else jnp.array(leaf)


def _manager(
    folder: pathlib.Path, prefix: str, policy: Saver | None = None
) -> ocp.CheckpointManager:
    """Of a folder. A policy says what stays, and lets saves go on in the background.

    What saves that were cut off have left is deleted before the first save only, which
    waits for it: a reader would delete while another writes.
    """
    options = ocp.CheckpointManagerOptions(
        step_prefix=prefix,
        preservation_policy=policy,
        cleanup_tmp_directories=policy is not None,
        enable_async_checkpointing=policy is not None,
    )
    return ocp.CheckpointManager(folder.resolve(), options=options)
