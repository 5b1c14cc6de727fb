"""Prints the test files that a run of CI takes of a tier.

    python tests/ci_files.py slow|fast|lowest [--since REVISION] [--less TIMES] [--all]

An eighth of the slow tier, or half of the fast one, which on one Python runs whole, or
an eighth of it, for the lowest versions: first the files that guard a room in which a
file has changed, then the others, another share of each every day. Files at the top of
`tests/` guard the ground floor, contracts also the rooms whose names they list, the
docstrings of a room guard it too, and a page guards itself. The README runs always.
`ci_site.py` tells of notebooks.
"""

import argparse
import datetime
import pathlib
import re
import subprocess

SLOW = re.compile(r"mark\.slow|mark\.fast|\bfast=|\.each\(")  # or names the fast ones
PROJECT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = pathlib.PurePath("tests/test_notebooks.py")
PARTS = {"slow": 8, "fast": 2, "lowest": 8}
"""Into which each tier is divided."""
CONTRACTS = {
    "test_contract": (
        *("compat", "conflict", "continual", "games"),
        *("plasticity", "sparsity", "transforms"),
    ),
    "test_player_contract": ("aggregators", "games", "players"),
}
"""Files at the top whose names begin so guard these rooms as well."""


def main() -> None:
    """Prints one path in a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tier", choices=PARTS)
    parser.add_argument("--since", help="by default the last commit before yesterday")
    parser.add_argument("--less", type=int, default=1, help="a smaller part by so much")
    parser.add_argument("--all", action="store_true", help="whatever has changed")
    asked = parser.parse_args()
    rooms = {room(path) for path in changed_files(asked.since or yesterday())}
    files = _slow_files() if asked.tier == "slow" else _test_files()
    called = [file for file in files if guarded(file) & rooms]
    others = [file for file in files if file not in called]
    parts = asked.less * PARTS[asked.tier]
    ordered = [file for some in (called, others) for file in in_turn(some, parts)]
    always = ["README.md"] if asked.tier == "slow" else []
    most = None if asked.all else len(files) // parts
    print(*always, *ordered[:most], sep="\n")


def yesterday() -> str:
    """The last commit before it."""
    return git("rev-list", "-1", "--before=1 day ago", "HEAD") or "HEAD"


def changed_files(since: str) -> list[pathlib.PurePath]:
    """Of the library and of the pages."""
    names = git("diff", "--name-only", since, "--", "neat_optax", "docs")
    return [pathlib.PurePath(name) for name in names.split()]


def in_turn(files: list, parts: int) -> list:
    """One of each so many first, others each day."""
    today = datetime.date.today().toordinal()
    return sorted(files, key=lambda file: (files.index(file) + today) % parts)


def _test_files() -> list[pathlib.Path]:
    return sorted(x.relative_to(PROJECT) for x in PROJECT.glob("tests/**/test_*.py"))


def _slow_files() -> list[pathlib.Path]:
    """Slow test files, pages, and the rooms of the library for their docstrings."""
    tests = [x for x in _test_files() if SLOW.search((PROJECT / x).read_text())]
    tests.remove(NOTEBOOKS)
    pages = PROJECT.glob("docs/**/*.md")
    rooms = [path.parent for path in PROJECT.glob("neat_optax/*/__init__.py")]
    return sorted((*tests, *(x.relative_to(PROJECT) for x in (*pages, *rooms))))


def guarded(file: pathlib.PurePath) -> set[str]:
    """Its room, and for a contract the rooms of what it asks."""
    names = [rooms for name, rooms in CONTRACTS.items() if file.stem.startswith(name)]
    return {room(file)}.union(*names if len(file.parts) == 2 else [])


def room(path: pathlib.PurePath) -> str:
    """What a file is of, or guards: a room, the ground floor, or a page."""
    if path.suffix == ".md":
        return str(path)
    deep = len(path.parts) > 2 or (path.parts[0] == "neat_optax" and not path.suffix)
    return path.parts[1] if deep else "the ground floor"


def git(*arguments: str) -> str:
    """What a command of git prints."""
    command = ["git", *arguments]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    return ran.stdout.strip()


if __name__ == "__main__":
    main()
