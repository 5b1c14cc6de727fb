"""The run folder: written atomically, never overwritten, resumable.

runs/<name>/config.json     what was asked for, written first
            metrics.jsonl   one line per optimizer and epoch
            checkpoints/    the last epoch of each optimizer, by orbax, or one search
                            per seed and the policy that was selected
            tensorboard/    the selected runs' curves, or those of each seed
            result.json     the result; a run that has it is finished
            curves.png
            sparsity.png    of a run that prunes
            pole.gif        of a run that evolves a policy for CartPole
            compact/        what `neat-optax compact` writes: weights,
            compact.json    and what they have saved
"""

import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

_METADATA = "_CHECKPOINT_METADATA"
_PREFIX = "epoch"


class RunFolder:
    """One run's files. Opening it creates or resumes the folder."""

    def __init__(self, root: str, name: str | None, config: dict[str, Any]):
        self.path = _choose(pathlib.Path(root), name, config)
        self.path.mkdir(parents=True, exist_ok=True)
        self.write("config.json", config)

    def write(self, file: str, content: Any) -> None:
        """Writes JSON, so that a reader sees all of it or nothing."""
        self.write_text(file, json.dumps(content, indent=2) + "\n")

    def write_text(self, file: str, text: str) -> None:
        """Writes text, so that a reader sees all of it or nothing."""
        write_text(self.path / file, text)

    def save(self, optimizer: str, epoch: int, replicas: Any, rows: Any) -> None:
        """Replaces an optimizer's checkpoint by one after `epoch` epochs."""
        both = ocp.args.Composite(
            state=ocp.args.StandardSave(replicas),
            rows=ocp.args.JsonSave({"rows": rows}),
        )
        with _manager(self._checkpoints(optimizer)) as manager:
            manager.save(epoch, args=both)

    def restore(self, optimizer: str, like: Any) -> tuple[int, Any, list[dict]]:
        """The last checkpoint of an optimizer; (0, like, []) if there is none."""
        return restore(self._checkpoints(optimizer), like) or (0, like, [])

    def _checkpoints(self, optimizer: str) -> pathlib.Path:
        return self.path / "checkpoints" / folder_name(optimizer)


def write_text(file: pathlib.Path, text: str) -> None:
    """Writes text, so that a reader sees all of it or nothing."""
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, file)


def restore(folder: pathlib.Path, like: Any) -> tuple[int, Any, list[dict]] | None:
    """The last checkpoint in a folder: its epoch, replicas and rows."""
    if not folder.is_dir():
        return None
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    both = ocp.args.Composite(
        state=ocp.args.StandardRestore(abstract), rows=ocp.args.JsonRestore()
    )
    with _manager(folder) as manager:
        epoch = manager.latest_step()
        if epoch is None:
            return None
        found = manager.restore(epoch, args=both)
    return epoch, found.state, found.rows["rows"]


def _manager(folder: pathlib.Path) -> ocp.CheckpointManager:
    """Keeps one checkpoint in a folder, and deletes what saves cut off have left."""
    if folder.is_dir():
        _check_ours(folder)
    options = ocp.CheckpointManagerOptions(
        step_prefix=_PREFIX,
        max_to_keep=1,
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
                f"`name` must be that of a run with checkpoints of its own, got {path}."
            )
        if path.name.isdigit() and written and path.with_suffix(".json").exists():
            raise ValueError(
                f"`name` must be that of a run of this version, got {folder}, which "
                "an earlier one has written."
            )


def folder_name(name: str) -> str:
    """A candidate's name as one of a folder, which holds no colon on some systems."""
    return name.replace(":", "-")


def _choose(root: pathlib.Path, name: str | None, config: dict[str, Any]):
    """The folder to write to: a new one, or an unfinished one of the same run."""
    if name is None:
        number, subject = 1, config[_subject(config)]
        while (root / f"{subject}-{number}").exists():
            number += 1
        return root / f"{subject}-{number}"
    if name in ("", "..") or name != pathlib.PurePath(name).name:
        raise ValueError(f"`name` must be the name of a folder, got {name!r}.")
    path = root / name
    if (path / "result.json").exists():
        raise ValueError(
            f"`name` must be that of a new or unfinished run, got {name}: {path} holds "
            "a result; choose another."
        )
    if not (path / "config.json").exists():
        if path.exists() and any(path.iterdir()):
            raise ValueError(f"`name` must not be a folder in use, got {name}: {path}.")
        return path
    _check_same_options(path / "config.json", config)
    return path


def _subject(config: dict[str, Any]) -> str:
    """The option by which runs of a command are called."""
    return "task" if "task" in config else "dataset"


def _check_same_options(file: pathlib.Path, config: dict[str, Any]) -> None:
    try:
        known = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        message = f"`name` must be that of a readable run: {file}: {error}."
        raise ValueError(message) from error
    asked = json.loads(json.dumps(config))
    if _subject(asked) not in known:
        raise ValueError(
            "`name` must be that of a run of the same command, got "
            f"{file.parent.name}: {file.parent} has no {_subject(asked)}."
        )
    for option in asked:
        if known.get(option) != asked[option]:
            raise ValueError(
                f"`{option}` must be {known.get(option)!r} to continue {file.parent}, "
                f"got {asked[option]!r}."
            )


def plain(value: Any) -> Any:
    """Arrays and named tuples as values that JSON can hold; nan becomes null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
