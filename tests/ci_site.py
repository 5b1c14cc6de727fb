"""Prints what a run of CI does for the site.

    python tests/ci_site.py reasons|notebooks [--since REVISION] [--all]

The reasons to build it: pages that have changed, and modules of the library in which
public signatures have. The notebooks to run, as tests: all for a signature, else those
that changed, else a sixth of them, others each day.
"""

import argparse
import ast
import functools
import pathlib

import ci_files

PARTS = 6
TEST = f"{ci_files.NOTEBOOKS}::test_a_notebook_runs_and_draws"


def main() -> None:
    """Prints one reason, or one test, in a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("reasons", "notebooks"))
    parser.add_argument("--since", help="by default the last commit before yesterday")
    parser.add_argument("--all", action="store_true", help="whatever has changed")
    asked = parser.parse_args()
    since = asked.since or ci_files.yesterday()
    changed = ci_files.changed_files(since)
    spoken = [path for path in changed if _speaks_otherwise(path, since)]
    if asked.what == "reasons":
        print(*(path for path in changed if path.parts[0] == "docs"), *spoken, sep="\n")
    else:
        chosen = notebooks(changed, spoken, asked.all)
        print(*(f"{TEST}[{stem}]" for stem in chosen), sep="\n")


def notebooks(changed: list, spoken: list, every: bool = False) -> list[str]:
    """Names of those to run."""
    stems = sorted(x.stem for x in ci_files.PROJECT.glob("docs/notebooks/*.ipynb"))
    if every or spoken:
        return stems
    some = {path.stem for path in changed if path.suffix == ".ipynb"} & {*stems}
    return sorted(some) or ci_files.in_turn(stems, PARTS)[: len(stems) // PARTS]


def _speaks_otherwise(path: pathlib.PurePath, since: str) -> bool:
    """Whether a public signature of a module of the library is another than before."""
    if path.suffix != ".py" or path.parts[0] == "docs" or "experiments" in path.parts:
        return False
    now = ci_files.PROJECT / path
    before = signatures(ci_files.git("show", f"{since}:{path}"))
    return before != signatures(now.read_text() if now.exists() else "")


def signatures(text: str) -> dict[str, str]:
    """Of public functions and methods the arguments, of classes the fields."""
    found = {}
    waiting = [("", node) for node in ast.parse(text).body if _is_public(node)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, ast.ClassDef):
            waiting += [(f"{place}{node.name}.", inner) for inner in node.body]
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            found[place + node.name] = ast.unparse(node.args)
        elif isinstance(node, ast.AnnAssign) and place:
            found[place + ast.unparse(node.target)] = ast.unparse(node)
    return found


def _is_public(node: ast.stmt) -> bool:
    return getattr(node, "name", "_") in _exported()


@functools.cache
def _exported() -> frozenset[str]:
    """The names that packages import from their modules."""
    packages = ci_files.PROJECT.glob("neat_optax/**/__init__.py")
    trees = (ast.parse(path.read_text()) for path in packages)
    nodes = (node for tree in trees for node in tree.body)
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom))
    return frozenset(name.name for node in imports for name in node.names)


if __name__ == "__main__":
    main()
