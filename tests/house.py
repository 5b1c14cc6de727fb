"""Prints the measures of the house: names, signatures, sizes, and arrows between rooms.

python tests/house.py [PACKAGE_FOLDER]
"""

import ast
import importlib
import inspect
import pathlib
import statistics
import sys
from collections.abc import Iterator
from typing import NamedTuple


class Function(NamedTuple):
    """A function of the sources: where it is, and its lines without its docstring."""

    name: str
    lines: int
    parameters: int


def main(folder: str = "neat_optax") -> None:
    """Prints one line for each measure."""
    package = pathlib.Path(folder).resolve()
    sys.path.insert(0, str(package.parent))
    trees = {
        path.relative_to(package.parent): ast.parse(path.read_text())
        for path in sorted(package.rglob("*.py"))
    }
    names = public_names(importlib.import_module(package.name))
    print(f"public names: {len(names)}, of them at the top: {_at_the_top(names)}")
    longest = max(public_parameters(names), key=lambda pair: pair[1])
    print(f"longest public signature: {longest[1]} parameters, {longest[0]}")
    lines = [len(path.read_text().splitlines()) for path in package.rglob("*.py")]
    print(f"files: {_sizes(lines)}, lines: {sum(lines)}")
    functions = [f for path, tree in trees.items() for f in functions_in(path, tree)]
    print(f"functions: {_sizes([f.lines for f in functions])}")
    arrows = rooms_and_imports(trees)
    print(
        f"rooms: {len(arrows)}, arrows between them: {sum(map(len, arrows.values()))}"
    )
    for room, others in sorted(arrows.items()):
        print(f"  {room}: {', '.join(sorted(others)) or '-'}")


def public_names(package) -> dict[str, object]:
    """Every public object by its dotted name; one that has two names counts twice."""
    found = {}
    waiting = [(package.__name__, package)]
    while waiting:
        name, module = waiting.pop()
        for attribute, value in vars(module).items():
            if attribute.startswith("_"):
                continue
            dotted = f"{name}.{attribute}"
            if not inspect.ismodule(value):
                found[dotted] = value
            elif value.__name__ == dotted and hasattr(value, "__path__"):
                waiting.append((dotted, value))
    return found


def public_parameters(names: dict[str, object]) -> Iterator[tuple[str, int]]:
    """How many parameters every public function has."""
    for name, value in names.items():
        if inspect.isfunction(value):
            yield name, len(inspect.signature(value).parameters)


def functions_in(path: pathlib.Path, tree: ast.Module) -> Iterator[Function]:
    """All functions of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            last = node.end_lineno or node.lineno
            lines = last - body[0].lineno + 1 if body else 0
            kinds = node.args.posonlyargs, node.args.args, node.args.kwonlyargs
            yield Function(f"{path}:{node.name}", lines, sum(map(len, kinds)))


def rooms_and_imports(trees: dict[pathlib.Path, ast.Module]) -> dict[str, set[str]]:
    """For each room, a package or a file beside them, the rooms that it imports."""
    rooms = {room_of(path): set() for path in trees}
    for path, tree in trees.items():
        for target in imports(tree):
            parts = target.split(".")
            if parts[0] == path.parts[0] and len(parts) > 1 and parts[1] in rooms:
                rooms[room_of(path)].add(parts[1])
    top = {"__init__", "__main__"}
    kept = {name: rooms[name] for name in rooms if name not in top}
    return {name: others - {name} - top for name, others in kept.items()}


def room_of(path: pathlib.Path) -> str:
    """The package below the top one, or the file beside the packages."""
    return path.parts[1].removesuffix(".py")


def imports(tree: ast.Module) -> Iterator[str]:
    """Full dotted names of all that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _at_the_top(names: dict[str, object]) -> int:
    return sum(name.count(".") == 1 for name in names)


def _sizes(lines: list[int]) -> str:
    tenth = statistics.quantiles(lines, n=10)[-1]
    return (
        f"{len(lines)}, median {statistics.median(lines):.0f} lines, 90 % at most "
        f"{tenth:.0f}, longest {max(lines)}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
