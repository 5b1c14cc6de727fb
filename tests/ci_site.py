"""Prints what a run of CI does for the site.

    python tests/ci_site.py reasons|notebooks [--since REVISION] [--all]

The reasons to build it: pages that have changed, and public names of which signatures
have. The notebooks to run, as tests: those that changed or speak of such a name, else a
sixth of them, others each day.
"""

import argparse
import ast
import pathlib
import re

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
    names = changed_names(changed, since)
    if asked.what == "reasons":
        print(*(path for path in changed if path.parts[0] == "docs"), *names, sep="\n")
    else:
        chosen = notebooks(changed, names, asked.all)
        print(*(f"{TEST}[{stem}]" for stem in chosen), sep="\n")


def notebooks(changed: list, names: list[str], every: bool = False) -> list[str]:
    """Names of those to run."""
    paths = sorted(ci_files.PROJECT.glob("docs/notebooks/*.ipynb"))
    own = {path.stem for path in changed if path.suffix == ".ipynb"}
    spoken = re.compile(rf"\b({'|'.join(map(re.escape, names)) or '(?!)'})\b")
    called = [x.stem for x in paths if x.stem in own or spoken.search(x.read_text())]
    stems = [path.stem for path in paths]
    turn = ci_files.in_turn(stems, PARTS)[: len(stems) // PARTS]
    return stems if every else called or turn


def changed_names(changed: list[pathlib.PurePath], since: str) -> list[str]:
    """Public names of the library whose signatures are others than before."""
    exported = "^from neat_optax.* import "
    where = "neat_optax/**/__init__.py", "neat_optax/__init__.py"
    lines = ci_files.git("grep", "-hE", exported, "--", *where)
    lines += ci_files.git("grep", "-hE", exported, since, "--", *where)
    public = {*re.findall(r"import (\w+)", lines)}
    found = set()
    for path in changed:
        if path.parts[0] == "docs" or path.suffix != ".py":
            continue
        now = ci_files.PROJECT / path
        before = signatures(ci_files.git("show", f"{since}:{path}"))
        after = signatures(now.read_text() if now.exists() else "")
        found |= {name.partition(".")[0] for name, _ in before.items() ^ after.items()}
    return sorted(found & public)


def signatures(text: str) -> dict[str, str]:
    """Of public functions and methods the arguments, of classes the fields."""
    found = {}
    waiting = [("", node) for node in ast.parse(text).body]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, ast.ClassDef):
            waiting += [(f"{place}{node.name}.", inner) for inner in node.body]
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            found[place + node.name] = ast.unparse(node.args)
        elif isinstance(node, ast.AnnAssign) and place:
            found[place + ast.unparse(node.target)] = ast.unparse(node)
    return found


if __name__ == "__main__":
    main()
