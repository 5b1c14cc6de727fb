"""The run folder: written atomically and by one process, never overwritten, resumable.

runs/<name>/config.json     what was asked for, written first
            environment.json  versions, device, revision, of each start
            metrics.jsonl   one line per optimizer and epoch
            checkpoints/    the last of each optimizer, by orbax, or one search
                            per seed and the policy that was selected
            result.json     the result; a run that has it is finished, and what stands
                            below is made of it, again if the same is asked for again
            tensorboard/    the selected runs' curves, or those of each seed
            measures.csv    all numbers at the selected rates, in long form
            curves.png
            sparsity.png    of a run that prunes
            plasticity.png  of a run with plasticity
            pole.gif        of a run that evolves a policy for CartPole
            .lock           held by the process that writes here
            compact/        what `neat-optax compact` writes: weights,
            compact.json    and what they have saved
"""

import contextlib
import errno
import json
import os
import pathlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from neat_optax import _lock
from neat_optax._damage import read_json
from neat_optax.experiments.runs import checkpoints
from neat_optax.experiments.runs.checkpoints import OPTION
from neat_optax.experiments.runs.reading import CONFIG, RESULT

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class RunFolder:
    """One run's files. Opening it creates or resumes the folder.

    No other process can open it before it is closed, or this one has ended.
    """

    def __init__(
        self,
        root: str,
        name: str | None,
        config: dict[str, Any],
        keep: checkpoints.Keep = checkpoints.Keep(),  # noqa: B008
    ):
        self.path = _choose(pathlib.Path(root), name, config)
        with _writable(self.path):
            release = _lock.hold(self.path, OPTION)
        self.close = weakref.finalize(self, release)
        self._keep = keep
        self._writer: checkpoints.Writer | None = None
        _check_usable(self.path, config)  # others may have been here before the lock
        if not self.finished:
            self.write(CONFIG, config)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            self._change_writer(None)
        finally:
            self.close()

    @property
    def finished(self) -> bool:
        """Whether the run has its result."""
        return (self.path / RESULT).exists()

    def write(self, file: str, content: Any) -> None:
        """Writes JSON, so that a reader sees all of it or nothing."""
        self.write_text(file, json.dumps(content, indent=2) + "\n")

    def write_text(self, file: str, text: str) -> None:
        """Writes text, so that a reader sees all of it or nothing."""
        write_text(self.path / file, text)

    def append_text(self, file: str, text: str) -> None:
        """Adds lines to a file."""
        path = self.path / file
        with _named(path), path.open("a") as opened:
            opened.write(text)

    def save(self, optimizer: str, epoch: int, replicas: Any, rows: Any) -> None:
        """Begins a checkpoint of an optimizer, which ends beside what follows."""
        folder = self._checkpoints(optimizer)
        with _named(folder):
            if self._writer is None or self._writer.folder != folder:
                self._change_writer(None)
                self._change_writer(checkpoints.Writer(folder, self._keep))
            assert self._writer is not None
            self._writer.save(epoch, replicas, rows)

    def wait(self) -> None:
        """Returns when all checkpoints are written; raises if one could not be."""
        if self._writer is not None:
            with _named(self._writer.folder):
                self._writer.wait()

    def restore(self, optimizer: str, like: Any) -> tuple[int, Any, list[dict]]:
        """The last checkpoint of an optimizer; (0, like, []) if there is none."""
        self._change_writer(None)
        folder = self._checkpoints(optimizer)
        return checkpoints.restore(folder, like) or (0, like, [])

    def _change_writer(self, writer: checkpoints.Writer | None) -> None:
        before, self._writer = self._writer, writer
        if before is not None:
            with _named(before.folder):
                before.close()

    def _checkpoints(self, optimizer: str) -> pathlib.Path:
        return self.path / "checkpoints" / folder_name(optimizer)


def write_text(file: pathlib.Path, text: str) -> None:
    """Writes text, so that a reader sees all of it or nothing."""
    write_with(file, lambda temporary: temporary.write_text(text))


def write_with(file: pathlib.Path, save: Callable[[pathlib.Path], Any]) -> None:
    """Lets `save` write to another name first: a reader sees all of it or nothing."""
    temporary = _temporary(file)
    with _named(file):
        try:
            save(temporary)
            os.replace(temporary, file)
        except BaseException:
            temporary.unlink(missing_ok=True)  # it takes room, which may be what lacks
            raise


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
    """Gives errors of a full disk a path, and those of orbax their kind."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except (ValueError, RuntimeError) as error:
        full = os.strerror(errno.ENOSPC)
        if full not in str(error):
            raise
        raise OSError(errno.ENOSPC, full, str(path)) from error


@contextlib.contextmanager
def _writable(path: pathlib.Path) -> Iterator[None]:
    """Says which option is wrong where nothing may be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FORBIDDEN:
            raise
        raise ValueError(
            f"`output` must be a folder that can be written to, got {path}: "
            f"{error.strerror}."
        ) from error


def _temporary(file: pathlib.Path) -> pathlib.Path:
    """The name under which a file is written."""
    return file.with_name(f".{file.name}.tmp")


def folder_name(name: str) -> str:
    """A candidate's name as one of a folder, which holds no colon on some systems."""
    return name.replace(":", "-")


def _choose(
    root: pathlib.Path, name: str | None, config: dict[str, Any]
) -> pathlib.Path:
    """The folder to write to: a new one, or that of the same run."""
    if root.exists() and not root.is_dir():
        raise ValueError(f"`output` must be a folder, got {root}.")
    if name is None:
        return _numbered(root, config[_subject(config)])
    if name in ("", "..") or name != pathlib.PurePath(name).name:
        raise ValueError(f"`{OPTION}` must be the name of a folder, got {name!r}.")
    path = root / name
    _check_usable(path, config)
    with _writable(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def _numbered(root: pathlib.Path, subject: str) -> pathlib.Path:
    """A new folder, which nobody else can get at the same moment."""
    with _writable(root):
        root.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        try:
            with _writable(path := root / f"{subject}-{number}"):
                path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def _check_usable(path: pathlib.Path, config: dict[str, Any]) -> None:
    """Raises where a folder is that of another run, or of something else."""
    if (path / CONFIG).exists():
        _check_same_options(path / CONFIG, config)
    elif path.exists():
        names = {inside.name for inside in path.iterdir()}
        if names - {_lock.LOCK, _temporary(path / CONFIG).name}:
            raise ValueError(
                f"`{OPTION}` must not be a folder in use, got {path.name}: {path}."
            )


def _subject(config: dict[str, Any]) -> str:
    """The option by which runs of a command are called."""
    return "task" if "task" in config else "dataset"


def _check_same_options(file: pathlib.Path, config: dict[str, Any]) -> None:
    known = read_json(file, OPTION)
    asked = json.loads(json.dumps(config))
    if not isinstance(known, dict) or _subject(asked) not in known:
        raise ValueError(
            f"`{OPTION}` must be that of a run of the same command, got "
            f"{file.parent.name}: {file} has no {_subject(asked)}."
        )
    other = [option for option in asked if known.get(option) != asked[option]]
    if other and (file.parent / RESULT).exists():
        raise ValueError(
            f"`{OPTION}` must be that of a new or unfinished run, got "
            f"{file.parent.name}: {file.parent} holds a result with another "
            f"{other[0]}; choose another."
        )
    for option in other:
        raise ValueError(
            f"`{option}` must be {known.get(option)!r} to continue {file.parent}, got "
            f"{asked[option]!r}."
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
