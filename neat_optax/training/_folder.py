"""A training on disk: checkpoints of state and progress, written by orbax.

folder/step_<n>/        the state after n steps, and how far its epoch and history are
       best/step_<n>/   the same after the best epoch, where a metric says which
       .lock            held by the training that writes here
"""

import contextlib
import os
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from neat_optax import _checks, _damage, _lock
from neat_optax.training._step import TrainingState

_PREFIX = "step"
_FORMAT = 1
_OURS = {"best", _lock.LOCK}


class Checkpoint(NamedTuple):
    """Where and when `fit` writes checkpoints; a path alone stands for the defaults.

    Attributes:
      folder: where to; it may be new, and nothing else may be in it.
      every: after how many steps; by default after every epoch. The end of the training
        is always written.
      keep: how many of the last are kept, at least 2: if one is damaged, the one before
        it serves.
      best: a name in the logs of an epoch; the epoch that is best by it is kept too, in
        `folder/best`.
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


class Folder:
    """The checkpoints of one training. Opening it creates or resumes the folder."""

    def __init__(self, checkpoint: Any, identity: dict[str, Any]):
        self.options = as_checkpoint(checkpoint)
        self.path = pathlib.Path(self.options.folder).resolve()
        self._identity = {"format": _FORMAT, **identity}
        self.path.mkdir(parents=True, exist_ok=True)
        _check_free(self.path)
        with contextlib.ExitStack() as stack:
            stack.callback(_lock.hold(self.path, "checkpoint"))
            self._last = _manager(self.path, self.options.keep)
            stack.callback(self._last.close)
            self._held = stack.pop_all()

    def restore(self, like: TrainingState) -> tuple[TrainingState, Progress]:
        """The last checkpoint that can be read; (like, Progress()) if there is none."""
        found = _restore(self._last, self.path, like)
        self._last.reload()
        if found is None:
            return like, Progress()
        state, about = found
        _check_identity(self.path, about["identity"], self._identity)
        sums, rows = about["sums"], tuple(about["rows"])
        return state, Progress(about["epoch"], about["position"], sums, rows)

    def save(self, state: TrainingState, progress: Progress) -> None:
        """Adds a checkpoint, unless there is one of this step."""
        _save(self._last, state, progress, self._identity)

    def save_best(self, state: TrainingState, progress: Progress) -> None:
        """Keeps the state of the last epoch if it is the best by the metric."""
        name = self.options.best
        if name is None:
            return
        if name not in progress.rows[-1]:
            known = ", ".join(progress.rows[-1])
            raise ValueError(f"`best` must be in the logs, {known}, got {name}.")
        values = [row[name] for row in progress.rows]
        if best_row(values, self.options.mode) == len(values) - 1:
            with _manager(self.path / "best", 1) as manager:
                _save(manager, state, progress, self._identity)

    def close(self) -> None:
        """Lets go of the folder."""
        self._held.close()


def load_checkpoint(
    checkpoint: Any, like: TrainingState, *, best: bool = False
) -> TrainingState:
    """The state in a folder that `fit` has written.

    Args:
      checkpoint: the folder, or the `Checkpoint`.
      like: a state of the same structure, such as `step.init()`.
      best: whether it is that of the best epoch instead of the last.

    Raises:
      ValueError: if there is none, or one of another state.
    """
    path = pathlib.Path(as_checkpoint(checkpoint).folder).resolve()
    path = path / "best" if best else path
    found = None
    if path.is_dir():
        with _manager(path, None) as manager:
            found = _restore(manager, path, like)
    if found is None:
        raise ValueError(f"`checkpoint` must be a folder with checkpoints, got {path}.")
    return found[0]


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


def _manager(folder: pathlib.Path, keep: int | None) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        step_prefix=_PREFIX,
        max_to_keep=keep,
        cleanup_tmp_directories=keep is not None,
        enable_async_checkpointing=False,
    )
    return ocp.CheckpointManager(folder, options=options)


def _save(
    manager: ocp.CheckpointManager,
    state: TrainingState,
    progress: Progress,
    identity: dict[str, Any],
) -> None:
    number = int(state.step)
    if number in manager.all_steps():
        return
    about = {**progress._asdict(), "sums": dict(progress.sums), "identity": identity}
    args = ocp.args.Composite(
        state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about)
    )
    manager.save(number, args=args)


def _restore(
    manager: ocp.CheckpointManager, folder: pathlib.Path, like: TrainingState
) -> tuple[TrainingState, dict[str, Any]] | None:
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)

    def load(number: int, state: Any) -> Any:
        args = ocp.args.Composite(state=state, about=ocp.args.JsonRestore())
        return manager.restore(number, args=args)

    def read(number: int) -> tuple[TrainingState, dict[str, Any]]:
        found = load(number, ocp.args.StandardRestore(abstract))
        return found.state, found.about

    last = _damage.last_readable(
        {number: folder / f"{_PREFIX}_{number}" for number in manager.all_steps()},
        read,
        lambda number: load(number, ocp.args.StandardRestore()),
        f"`checkpoint` must be a folder of this training, got {folder} of one with "
        "another model, optimizer or step.",
        "checkpoint",
    )
    return None if last is None else last[1]


def _check_free(folder: pathlib.Path) -> None:
    """Raises if files of something else are there."""
    others = [
        path.name
        for path in folder.iterdir()
        if path.name not in _OURS and not path.name.startswith(f"{_PREFIX}_")
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
