"""Shows signatures as their sources write them, what comes back as prose, and links.

A docstring names a page of the site as `docs/math.md`, which `help()` shows as well.
"""

import ast
import inspect
import re
import textwrap


def signature(app, what, name, value, options, shown, returned):
    """The parameters and the result of a function, or the fields of a class.

    What autodoc shows are types after evaluation: `optax.ScalarOrSchedule` as the ten
    types that it stands for, and an array without the shape that it is written with.
    """
    del app, name, options, returned
    node = _definition(value) if what in ("function", "class", "method") else None
    if isinstance(node, ast.ClassDef):
        inits = [n for n in node.body if getattr(n, "name", "") == "__init__"]
        if not inits:
            return (f"({', '.join(_fields(node))})" if shown else shown), None
        node = inits[0]
    if not isinstance(node, ast.FunctionDef):
        return None
    text = ast.unparse(node.args)
    if node.args.args and node.args.args[0].arg in ("self", "cls"):
        text = re.sub(r"^\w+(, )?", "", text)
    returns = ast.unparse(node.returns).strip("'") if node.returns else None
    return f"({text})", returns


def docstring(app, what, name, value, options, lines: list[str]) -> None:
    """Links pages; undoes what napoleon makes of a colon in a result: a type."""
    del app, what, name, value, options
    lines[:] = map(linked, lines)
    types = [i for i, line in enumerate(lines) if line.startswith(":rtype:")]
    returns = [i for i, line in enumerate(lines) if line.startswith(":returns:")]
    for i, j in zip(returns, types, strict=False):
        prose = lines[j].removeprefix(":rtype:").strip()
        lines[i] = f":returns: {prose}: {lines[i].removeprefix(':returns:').strip()}"
        lines[j] = ""


def linked(text: str) -> str:
    """A text whose `docs/NAME.md` are references, which show titles of pages."""
    page = r"(?<![`\w/])docs/([\w/]+)\.md(?:#[\w-]+)?"
    return re.sub(page, r":doc:`/\1`", text)


def before_napoleon(app, what, name, value, options, lines: list[str]) -> None:
    """An empty line, after which napoleon takes no colon of a property for a type."""
    del app, name, value, options
    if what in ("property", "attribute", "data"):
        lines.insert(0, "")


def _definition(value: object) -> ast.stmt | None:
    try:
        source = inspect.getsource(inspect.unwrap(value))
    except (OSError, TypeError):
        return None
    return ast.parse(textwrap.dedent(source)).body[0]


def _fields(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign)]
