"""Sweeps: the table `[sweep]` of a file, in which options have several values."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from neat_optax._damage import read_json
from neat_optax.experiments.commands import config_file
from neat_optax.experiments.commands.options import TrainOptions
from neat_optax.experiments.runs.writing import folder_name, write_text

SWEEP = "sweep.json"
"""The file in the folder of a sweep that says which runs it has."""
_OPTION = "name"


def points(options: TrainOptions) -> dict[str, TrainOptions]:
    """The runs that a file asks for, by name; none where it has no table `[sweep]`.

    Args:
      options: of a command line and its file.
    """
    if options.config is None:
        return {}
    swept = config_file.read_sweep(options.config, TrainOptions)
    usual = TrainOptions()
    for field in swept:
        value, before = getattr(options, field), getattr(usual, field)
        if not isinstance(value, dict) and value != before:
            raise ValueError(
                f"`{field}` must be left out where the file sweeps it, got {value}."
            )
    found: dict[str, TrainOptions] = {}
    for values in itertools.product(*swept.values()) if swept else ():
        given = dict(zip(swept, values, strict=True))
        changed = {key: _over(getattr(options, key), x) for key, x in given.items()}
        found[_name(given)] = dataclasses.replace(options, **changed)
    return found


def _over(base: Any, value: Any) -> Any:
    """The value of a point; those of a table are put over those of the file."""
    return {**base, **value} if isinstance(value, dict) else value


def _name(given: Mapping[str, Any]) -> str:
    """What differs from the other points, as the name of a folder.

    Example:
      >>> _name({"alpha": 0.5, "optimizers": ("adam:0.1", "sgd"),
      ...        "neuroplastic": {"maximum": 3.0}})
      'alpha=0.5,optimizers=adam-0.1+sgd,maximum=3.0'
    """
    parts: dict[str, Any] = {}
    for key, value in given.items():
        parts |= value if isinstance(value, dict) else {key: value}
    texts = {
        key: "+".join(x) if isinstance(x, tuple) else str(x) for key, x in parts.items()
    }
    return folder_name(",".join(f"{key}={text}" for key, text in texts.items()))


def open_folder(options: TrainOptions, names: list[str]) -> pathlib.Path:
    """The folder of a sweep: a new one, or that of the same sweep.

    Args:
      options: with the place and the name; without a name, it is the file's and a
        free number.
      names: of its runs.
    """
    root = pathlib.Path(options.output)
    path = root / (options.name or _free(root, pathlib.Path(str(options.config)).stem))
    if path.exists() and any(path.iterdir()):
        if not (path / SWEEP).is_file() or read_json(path / SWEEP, _OPTION) != names:
            raise ValueError(
                f"`{_OPTION}` must be that of the same sweep, or a new one, got {path}."
            )
        return path
    path.mkdir(parents=True, exist_ok=True)
    write_text(path / SWEEP, json.dumps(names, indent=2) + "\n")
    return path


def _free(root: pathlib.Path, stem: str) -> str:
    names = (f"{stem}-{number}" for number in itertools.count(1))
    return next(name for name in names if not (root / name).exists())
