"""Files that a reader sees all of or nothing, and what JSON can hold."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np


def write_text(file: pathlib.Path, text: str) -> None:
    """Writes text, so that a reader sees all of it or nothing."""
    write_with(file, lambda temporary: temporary.write_text(text))


def write_with(file: pathlib.Path, save: Callable[[pathlib.Path], Any]) -> None:
    """Lets `save` write to another name first: a reader sees all of it or nothing."""
    hidden = temporary(file)
    with named(file):
        try:
            save(hidden)
            os.replace(hidden, file)
        except BaseException:
            hidden.unlink(missing_ok=True)  # it takes room, which may be what lacks
            raise


@contextlib.contextmanager
def named(path: pathlib.Path) -> Iterator[None]:
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


def temporary(file: pathlib.Path) -> pathlib.Path:
    """The name under which a file is written."""
    return file.with_name(f".{file.name}.tmp")


def folder_name(name: str) -> str:
    """A candidate's name as one of a folder, which holds no colon on some systems."""
    return name.replace(":", "-")


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
