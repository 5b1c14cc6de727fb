"""Prints the test files of the slow tier that a change calls for.

    python tests/slow_files.py [--since REVISION]

Those that guard a room in which a file has changed. A third of the tier is what fits
into a run of CI: where more or none are called for, it is a third of them or of all,
another one each day. Files at the top of `tests/` guard the ground floor. Pages and
docstrings are always among them, for their examples.
"""

import argparse
import datetime
import pathlib
import re
import subprocess

SLOW = re.compile(r"mark\.slow|\bfast=")  # or what names the few that are fast
PROJECT = pathlib.Path(__file__).parents[1]


def main() -> None:
    """Prints one path in a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--since", help="by default the last commit before yesterday")
    since = parser.parse_args().since or _git(
        "rev-list", "-1", "--before=1 day ago", "HEAD"
    )
    changed = _git("diff", "--name-only", since or "HEAD", "--", "neat_optax")
    rooms = {room(pathlib.PurePath(name)) for name in changed.split()}
    turn = datetime.date.today().toordinal() % 3
    files = sorted(
        path.relative_to(PROJECT)
        for path in PROJECT.glob("tests/**/test_*.py")
        if SLOW.search(path.read_text())
    )
    called = [file for file in files if room(file) in rooms] or files
    third = len(files) // 3
    chosen = called if len(called) <= third else called[turn::3]
    print("docs", "neat_optax", *chosen, sep="\n")


def room(path: pathlib.PurePath) -> str:
    """The room of a source or of its test; the ground floor for files at the top."""
    return path.parts[1] if len(path.parts) > 2 else "the ground floor"


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    return ran.stdout.strip()


if __name__ == "__main__":
    main()
