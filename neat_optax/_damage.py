"""Checkpoints that cannot be read: named, put aside, and the one before them serves."""

import json
import pathlib
import textwrap
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

_FoundT = TypeVar("_FoundT")
_JSON = ("*/_METADATA", "*/metadata", "*/array_metadatas/*")
"""What orbax writes as JSON."""


def last_readable(
    folders: dict[int, pathlib.Path],
    read: Callable[[int], _FoundT],
    read_as_it_is: Callable[[int], Any],
    of_another: str,
    option: str,
) -> tuple[int, _FoundT] | None:
    """The last checkpoint that can be read, with its number; None if there is none.

    Those after it stay, under other names, and a warning names them.

    Args:
      folders: of all checkpoints, by number.
      read: gives what a checkpoint holds, by its number.
      read_as_it_is: reads whatever a checkpoint holds. Where it can and `read` cannot,
        the checkpoint is not damaged, but of another.
      of_another: what is said then.
      option: what the caller has named the checkpoints by.
    """
    damaged: list[tuple[pathlib.Path, str]] = []
    for number in sorted(folders, reverse=True):
        reason = _broken_json(folders[number]) or _broken_arrays(folders[number])
        if not reason:
            try:
                found = read(number)
            except Exception as error:  # orbax has no kind of its own for damage
                if _succeeds(read_as_it_is, number):
                    raise ValueError(of_another) from error
                reason = str(error) if isinstance(error, ValueError) else repr(error)
            else:
                for path, reason in damaged:
                    _put_aside(path, reason, folders[number])
                return number, found
        damaged.append((folders[number], textwrap.shorten(reason, 200)))
    if damaged:
        path, reason = damaged[-1]
        raise ValueError(
            f"`{option}` must be one with a checkpoint that can be read, got {path}, "
            f"which is damaged: {reason}"
        )
    return None


def _succeeds(read: Callable[[int], Any], number: int) -> bool:
    try:
        read(number)
    except Exception:
        return False
    return True


def read_json(path: pathlib.Path, option: str) -> Any:
    """What a file of JSON holds; an error names the file.

    Args:
      path: of the file.
      option: what the caller has named it by.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"`{option}` must be one with readable files, got {path}: {error}."
        ) from error


def _broken_json(folder: pathlib.Path) -> str:
    """Which file of orbax's is not the JSON that it should be, or nothing."""
    for file in (file for pattern in _JSON for file in folder.glob(pattern)):
        try:
            json.loads(file.read_bytes())
        except (ValueError, RecursionError) as error:
            return f"{file.relative_to(folder)}: {error}"
    return ""


def _broken_arrays(folder: pathlib.Path) -> str:
    """What is wrong with the arrays of a checkpoint, or nothing.

    Asked before orbax reads them, which leaves tracebacks of other threads behind.
    """
    import tensorstore

    for base in (file.parent for file in folder.glob("*/d")):
        place = {"driver": "file", "path": f"{base.resolve()}/"}
        store = {"driver": "ocdbt", "base": place}
        try:
            keys = tensorstore.KvStore.open(store).result().list().result()
            for key in (key.decode() for key in keys if key.endswith(b"/.zarray")):
                array = {"driver": "zarr", "kvstore": store}
                array["path"] = key.removesuffix("/.zarray")
                tensorstore.open(array).result().read().result()
        except ValueError as error:
            return f"{base.name}: {error}"
        if not keys:
            return f"{base.name}: without arrays"
    return ""


def _put_aside(path: pathlib.Path, reason: str, before: pathlib.Path) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    warnings.warn(
        f"{path} is damaged, {before.name} serves instead, and {aside.name} keeps what "
        f"is there: {reason}",
        stacklevel=2,
    )
