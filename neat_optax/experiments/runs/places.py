"""Which folder a run is written to: a new one, or that of the same run."""

import contextlib
import errno
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from neat_optax import _lock
from neat_optax._damage import read_json
from neat_optax.experiments.runs.checkpoints import OPTION
from neat_optax.experiments.runs.reading import CONFIG, RESULT
from neat_optax.experiments.runs.writing import temporary

_SUBJECTS = ("task", "study")
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def choose(
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
    check_usable(path, config)
    with writable(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def _numbered(root: pathlib.Path, subject: str) -> pathlib.Path:
    """A new folder, which nobody else can get at the same moment."""
    with writable(root):
        root.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        try:
            with writable(path := root / f"{subject}-{number}"):
                path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def check_usable(path: pathlib.Path, config: dict[str, Any]) -> None:
    """Raises where a folder is that of another run, or of something else."""
    if (path / CONFIG).exists():
        _check_same_options(path / CONFIG, config)
    elif path.exists():
        names = {inside.name for inside in path.iterdir()}
        if names - {_lock.LOCK, temporary(path / CONFIG).name}:
            raise ValueError(
                f"`{OPTION}` must not be a folder in use, got {path.name}: {path}."
            )


def _subject(config: dict[str, Any]) -> str:
    """The option by which runs of a command are called."""
    return next((name for name in _SUBJECTS if name in config), "dataset")


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
            f"{file.parent.name}: {file.parent} holds the result for `{other[0]}` "
            f"{known.get(other[0])!r}, and {asked[other[0]]!r} is asked for; choose "
            "another name."
        )
    for option in other:
        raise ValueError(
            f"`{option}` must be {known.get(option)!r} to continue {file.parent}, got "
            f"{asked[option]!r}."
        )


@contextlib.contextmanager
def writable(path: pathlib.Path) -> Iterator[None]:
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
