"""The options of a command from a file of TOML or YAML."""

import argparse
import pathlib
import re
import reprlib
import sys
import tomllib
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from neat_optax import _checks
from neat_optax.experiments.candidates import plasticities
from neat_optax.experiments.commands.options import OPTIONS, Option

_KINDS = {
    str: "a string",
    int: "an integer",
    float: "a finite number",
    dict: "a table",
}


def gather(arguments: argparse.Namespace, options: dict[str, Option]) -> dict[str, Any]:
    """The options of the file, if any, and over them those of the command line."""
    given = vars(arguments)
    file = read(given["config"], options) if "config" in given else {}
    return file | {name: value for name, value in given.items() if name in options}


def read(path: str, options: dict[str, Option] = OPTIONS) -> dict[str, Any]:
    """The options that a file holds, with their names and types checked.

    Args:
      path: of a file that ends in .toml, .yaml or .yml.
      options: those that its keys may name; by default of `neat-optax train`.

    Returns:
      The values by key. Options that may be repeated are lists.
    """
    table = _load(pathlib.Path(path))
    if not isinstance(table, dict) or not table:
        got = reprlib.repr(table)
        raise ValueError(f"`config` must hold a table of options, got {got} in {path}.")
    for key in table:
        _checks.check_choice("key", key, tuple(options))
    return {key: _checked(key, value, options[key]) for key, value in table.items()}


def _load(path: pathlib.Path) -> Any:
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        listed = ", ".join(_PARSERS)
        raise ValueError(f"`config` must be a file of {listed}, got {path}.")
    try:
        with path.open("rb") as file:
            return parse(file)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"`config` must be a readable file, got {path}: {reason}."
        ) from error


def _checked(key: str, value: Any, option: Option) -> Any:
    if option.kind is dict:
        return _recipe_options(key, _of_kind(key, value, dict))
    if not option.repeated:
        return _of_kind(key, value, option.kind)
    values = value if isinstance(value, list) else [value]
    return [_of_kind(key, item, option.kind) for item in values]


def _of_kind(key: str, value: Any, kind: type) -> Any:
    """The value as one of a kind; an integer is a number too, a boolean is not."""
    known = type(value) is kind or (kind is float and type(value) is int)
    if not known or (kind is float and not abs(value) <= sys.float_info.max):
        got = reprlib.repr(value)
        raise ValueError(f"`{key}` must be {_KINDS[kind]}, got {got}.")
    return kind(value)


def _recipe_options(key: str, table: dict[Any, Any]) -> dict[str, Any]:
    for name in table:
        _checks.check_choice(key, name, plasticities.OPTIONS)
    return {
        name: value
        if value is None or isinstance(value, bool)
        else _of_kind(f"{key}.{name}", value, float)
        for name, value in table.items()
    }


class _PlainYAML(SafeConstructor, yaml.BaseLoader):
    """The numbers and words of YAML 1.2, without anchors and tags, no key twice.

    PyYAML's own are those of YAML 1.1: 1e-3 is a string there, and 2:4 the number 124.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if event.anchor or getattr(event, "tag", None):
            raise _not_plain("an anchor, an alias or a tag", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys: list[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise _not_plain(f"`{key}` a second time", key_node)
            keys.append(key)
        return super().construct_mapping(node, deep)


def _not_plain(what: str, where: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=f"found {what}", problem_mark=where.start_mark)


for _tag, _pattern in (
    ("null", r"|~|null|Null|NULL"),
    ("bool", r"true|True|TRUE|false|False|FALSE"),
    ("int", r"[-+]?(0|[1-9]\d*)"),
    ("float", r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?"),
):
    _PlainYAML.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"({_pattern})$", re.ASCII), None
    )


def _load_yaml(file: Any) -> Any:
    return yaml.load(file, Loader=_PlainYAML)


_PARSERS = {".toml": tomllib.load, ".yaml": _load_yaml, ".yml": _load_yaml}
