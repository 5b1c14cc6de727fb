"""Writes a page for every public name, and for every namespace a list, to docs/symbols.

python docs/make_symbols.py; a build of the site does it first.
"""

import ast
import functools
import importlib
import inspect
import itertools
import pathlib
import re
import sys
from collections.abc import Sequence

FOLDER = pathlib.Path(__file__).parent
PAGES = FOLDER / "symbols"
ROOMS = (
    "experiments",
    "experiments.data",
    "experiments.models",
    "keras",
    "reference",
    "training",
)
"""Packages that `import neat_optax` leaves to those who use them."""


def main() -> None:
    """Writes what has changed, and removes the pages of names that are gone."""
    PAGES.mkdir(exist_ok=True)
    made = pages(names())
    for file in PAGES.glob("*.rst"):
        if file.name not in made:
            file.unlink()
    for name, text in made.items():
        file = PAGES / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def pages(found: dict[str, object]) -> dict[str, str]:
    """Each page as text, by its file."""
    made = {f"{page_of(n, x)}.rst": _page(n, x) for n, x in found.items()}
    spaces = sorted({name.rpartition(".")[0] for name in found})
    for space in spaces:
        inside = {n: x for n, x in found.items() if n.rpartition(".")[0] == space}
        made[f"{space}.rst"] = _list(space, inside)
    return made | {"index.rst": _index(spaces)}


@functools.cache
def names(rooms: Sequence[str] = ROOMS) -> dict[str, object]:
    """Every public object by its dotted name, in order."""
    sys.path.append(str(FOLDER.parent / "tests"))
    import house

    for room in rooms:
        importlib.import_module(f"neat_optax.{room}")
    found = house.public_names(importlib.import_module("neat_optax"))
    return {name: found[name] for name in sorted(found, key=str.lower) if _open(name)}


def _open(name: str) -> bool:
    """Whether its room is one for users, whatever else of experiments is loaded."""
    space = name.rpartition(".")[0]
    rooms = {f"neat_optax.{room}" for room in ROOMS}
    return space in rooms or not space.startswith("neat_optax.experiments.")


def short(name: str) -> str:
    """The name without that of the package."""
    return name.removeprefix("neat_optax.")


def page_of(name: str, value: object) -> str:
    """The page of a name. Some disks take `Contest` and `contest` for one file."""
    return f"{name}-class" if inspect.isclass(value) else name


def first_line(name: str, value: object) -> str:
    """The first line of a docstring, or of the string below a value."""
    doc = inspect.getdoc(value) if _is_code(value) else _below(name)
    paragraph = " ".join((doc or "").strip().partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[\w`)])\. ", paragraph)[0].rstrip(".")
    return paragraph if _is_code(value) else f"{sentence}."


def _page(name: str, value: object) -> str:
    if inspect.isclass(value):
        body = f".. autoclass:: {name}\n   :members:\n   :member-order: bysource"
        if fields := getattr(value, "_fields", ()):  # the class describes them
            body += f"\n   :exclude-members: {', '.join(fields)}"
    elif _is_code(value):
        body = f".. autofunction:: {name}"
    else:
        text = "\n".join(f"   {line}".rstrip() for line in _below(name).splitlines())
        body = f".. py:data:: {name}\n   :type: {type(value).__name__}\n\n{text}"
    return f"{_title(short(name))}\n{body}\n"


def _list(space: str, members: dict[str, object]) -> str:
    lines = [_title(short(space)), f".. automodule:: {space}", "", ".. list-table::"]
    lines += ["   :widths: 30 70", ""]
    for name, value in members.items():
        lines += [f"   * - :py:obj:`{name.rpartition('.')[2]} <{name}>`"]
        lines += [f"     - {first_line(name, value)}"]
    files = {page_of(n, x): n.rpartition(".")[2] for n, x in members.items()}
    return "\n".join([*lines, "", _toctree(files)])


def _index(spaces: list[str]) -> str:
    text = (
        "Every public name has a page: signature, equation, arguments, an example that "
        "is run, and the paper.\n:doc:`/api` has one line on each, by subject.\n"
    )
    rows = [f"* :doc:`{short(space)} <{space}>`" for space in spaces]
    files = {space: short(space) for space in spaces}
    return "\n".join([_title("All public names"), text, *rows, "", _toctree(files)])


def _toctree(files: dict[str, str]) -> str:
    rows = [f"   {title} <{file}>" for file, title in files.items()]
    return "\n".join([".. toctree::", "   :hidden:", "", *rows, ""])


def _title(text: str) -> str:
    """The title of a page that needs no list of its sections beside it."""
    wide = ":html_theme.sidebar_secondary.remove: true"
    return f"{wide}\n\n{text}\n{'=' * len(text)}\n"


def _is_code(value: object) -> bool:
    return inspect.isclass(value) or inspect.isroutine(inspect.unwrap(value))


def _below(name: str) -> str:
    """The string below the definition of a value, in the module that defines it."""
    space, _, last = name.rpartition(".")
    inside = [n for n in sys.modules if n.startswith(f"{space}.")]
    for module in [*inside, *(n for n in sys.modules if n.startswith("neat_optax."))]:
        file = getattr(sys.modules[module], "__file__", None)
        strings = _strings(file) if file else {}
        if last in strings:
            return strings[last]
    raise LookupError(f"{name} has no string below its definition")


@functools.cache
def _strings(file: str) -> dict[str, str]:
    """Of a module, the strings that stand below definitions of values."""
    body = ast.parse(pathlib.Path(file).read_text()).body
    return {
        ast.unparse(target): inspect.cleandoc(below.value.value)
        for node, below in itertools.pairwise(body)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }


if __name__ == "__main__":
    main()
