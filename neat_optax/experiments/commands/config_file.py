"""The options of a command from a file of TOML."""

import dataclasses
import itertools
import pathlib
import reprlib
import sys
import tomllib
import typing
from typing import Any, NamedTuple, TypeVar

from neat_optax import _checks
from neat_optax.experiments.candidates import plasticities
from neat_optax.experiments.commands.options import RunOptions

_KINDS = {
    str: "a string",
    int: "an integer",
    float: "a finite number",
    bool: "true or false",
    dict: "a table",
}
OptionsT = TypeVar("OptionsT", bound=RunOptions)
SWEEP = "sweep"
SWEEPS = "dataset"
"""An option that those commands have which can sweep."""
_PLACE = ("name", "output")


class _Key(NamedTuple):
    """What a key stands for."""

    field: str
    kind: type  # str, int, float, bool or dict
    repeated: bool


def read(path: str, options: type[OptionsT]) -> OptionsT:
    """The options that a file holds, with their names and types checked.

    Args:
      path: of a file that ends in .toml.
      options: those of a command; their names on the command line, with underscores,
        are the keys.
    """
    table = _load(pathlib.Path(path))
    keys = _keys(options)
    try:
        if table.pop(SWEEP, None) is not None and SWEEPS not in keys:  # see read_sweep
            raise ValueError(
                f"`{SWEEP}` must be left out for neat-optax evolve, got a table: only "
                "neat-optax train makes several runs."
            )
        for key in table:
            _checks.check_choice("key", key, tuple(keys))
        given = {
            keys[key].field: _checked(key, x, keys[key]) for key, x in table.items()
        }
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return options(**given)


def read_sweep(path: str, options: type[RunOptions]) -> dict[str, list[Any]]:
    """What the table `sweep` of a file asks for: by field, the values that it takes.

    Args:
      path: of a file that ends in .toml.
      options: those of a command.
    """
    table = _load(pathlib.Path(path))
    keys = {key: x for key, x in _keys(options).items() if key not in _PLACE}
    found: dict[str, list[Any]] = {}
    try:
        for key, values in _of_kind(SWEEP, table.get(SWEEP, {}), dict).items():
            _checks.check_choice("key", key, tuple(keys))
            if key in table and keys[key].kind is not dict:
                got = f"got {table[key]}"
                raise ValueError(f"`{key}` must be left out where it is swept, {got}.")
            found[keys[key].field] = _swept(key, values, keys[key])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return found


def _swept(key: str, values: Any, known: _Key) -> list[Any]:
    """The values of a key, each checked; of a table, every combination of its keys."""
    if known.kind is dict:
        lists = _of_kind(key, values, dict)
        tables = itertools.product(*(_list(f"{key}.{x}", lists[x]) for x in lists))
        found = [dict(zip(lists, values, strict=True)) for values in tables]
    else:
        found = _list(key, values)
    return [_checked(key, value, known) for value in found]


def _list(key: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise ValueError(
            f"`{key}` must be a list of values to sweep over, got {values}."
        )
    return values


def repeated(options: type[RunOptions]) -> tuple[str, ...]:
    """The fields of the options that may be given several times."""
    return tuple(key.field for key in _keys(options).values() if key.repeated)


def _keys(options: type[RunOptions]) -> dict[str, _Key]:
    """By the option's name: that of the field, or the one that stands in its place."""
    types = typing.get_type_hints(options)
    annotated = typing.get_type_hints(options, include_extras=True)
    keys = {}
    for field in dataclasses.fields(options):
        marks = getattr(annotated[field.name], "__metadata__", ())
        names = [x.name for x in marks if getattr(x, "name", None)]
        keys[(*names, field.name)[0]] = _key(field.name, types[field.name])
    del keys["config"], keys["resume"]
    return keys


def _key(field: str, kind: Any) -> _Key:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (tuple, dict):
        return _Key(field, inner[0] if origin is tuple else dict, origin is tuple)
    (known,) = [x for x in inner or (kind,) if x is not type(None)]
    return _Key(field, known, False)


def _load(path: pathlib.Path) -> dict[str, Any]:
    if path.suffix.lower() != ".toml":
        raise ValueError(f"`config` must be a file of .toml, got {path}.")
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"`config` must be a readable file, got {path}: {reason}."
        ) from error
    if not table:
        raise ValueError(f"`config` must hold options, got none in {path}.")
    return table


def _checked(key: str, value: Any, known: _Key) -> Any:
    if known.kind is dict:
        return _recipe_options(key, _of_kind(key, value, dict))
    if not known.repeated:
        return _of_kind(key, value, known.kind)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError(f"`{key}` must be given at least once, got none.")
    return tuple(_of_kind(key, item, known.kind) for item in values)


def _of_kind(key: str, value: Any, kind: type) -> Any:
    """The value as one of a kind; an integer is a number too, a boolean is not."""
    known = type(value) is kind or (kind is float and type(value) is int)
    if not known or (kind is float and not abs(value) <= sys.float_info.max):
        got = reprlib.repr(value)
        raise ValueError(f"`{key}` must be {_KINDS[kind]}, got {got}.")
    return kind(value)


def _recipe_options(key: str, table: dict[str, Any]) -> dict[str, Any]:
    for name in table:
        _checks.check_choice(key, name, tuple(plasticities.OPTIONS))
    return {name: _recipe_value(f"{key}.{name}", x) for name, x in table.items()}


def _recipe_value(key: str, value: Any) -> float | bool | None:
    if value == "none":  # TOML has no null, and a bound may be taken away
        return None
    return value if isinstance(value, bool) else _of_kind(key, value, float)
