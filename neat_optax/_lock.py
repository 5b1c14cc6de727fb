"""One writer at a time: a lock on a folder, which ends with the process that holds it.

The file `.lock` stays in the folder and means nothing by itself: the system holds the
lock, and lets go of it when the process ends, however that happens. Windows has no such
locks, and nothing is locked there.
"""

import functools
import os
import pathlib
from collections.abc import Callable

try:
    import fcntl
except ImportError:
    fcntl = None

LOCK = ".lock"


def hold(folder: pathlib.Path, option: str) -> Callable[[], None]:
    """Locks a folder; raises where another process, or this one, has done so.

    Args:
      folder: one that exists.
      option: what the caller has named the folder by.

    Returns:
      What lets go of it.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise
        raise ValueError(
            f"`{option}` must be a folder that nobody else is writing to, got {folder}."
        ) from error
    return functools.partial(os.close, descriptor)
