"""The options of a command from an unfinished run, which then goes on."""

import dataclasses
import pathlib
from typing import Any, TypeVar

from neat_optax._damage import read_json
from neat_optax.experiments.commands.options import RunOptions
from neat_optax.experiments.runs.reading import CONFIG, RESULT

LATEST = "latest"
OptionsT = TypeVar("OptionsT", bound=RunOptions)


def read(asked: OptionsT, subject: str) -> OptionsT:
    """The options of the run that `resume` names.

    Args:
      asked: of a command line, with `resume`.
      subject: an option that all runs of this command have, and no others.
    """
    for option in ("config", "name"):
        value = getattr(asked, option)
        if value is not None:
            raise ValueError(f"`{option}` must be left out with resume, got {value}.")
    folder = _find(pathlib.Path(asked.output), str(asked.resume), subject)
    known = read_json(folder / CONFIG, "resume")
    fields = {field.name for field in dataclasses.fields(asked)}
    given = {key: x for key, x in known.items() if key in fields and x is not None}
    lists = {key: tuple(x) for key, x in given.items() if isinstance(x, list)}
    return dataclasses.replace(asked, **{**given, **lists}, name=folder.name)


def _find(root: pathlib.Path, resume: str, subject: str) -> pathlib.Path:
    """The folder of that name; for `latest`, that of the run that was started last."""
    if resume != LATEST:
        if not _is_open(root / resume, subject):
            raise ValueError(
                f"`resume` must be {LATEST} or the name of an unfinished run of this "
                f"command in {root}, got {resume}."
            )
        return root / resume
    folders = list(root.iterdir()) if root.is_dir() else []
    found = [folder for folder in folders if _is_open(folder, subject)]
    if not found:
        raise ValueError(
            f"`resume` must name an unfinished run of this command, got {LATEST}, and "
            f"{root} holds none."
        )
    return max(found, key=lambda folder: (folder / CONFIG).stat().st_mtime_ns)


def _is_open(folder: pathlib.Path, subject: str) -> bool:
    if not (folder / CONFIG).is_file() or (folder / RESULT).exists():
        return False
    known: Any = read_json(folder / CONFIG, "resume")
    return isinstance(known, dict) and subject in known
