"""Plants faults one at a time, and says which of them the tests notice.

    python tests/plant_faults.py [NAME ...] [--check] [--record FILE]

A fault of `faults.py` is written into the working tree, its tests run until one fails,
and the file is put back. A fault that survives its own tests meets the fast tier.
"""

import argparse
import contextlib
import json
import pathlib
import re
import shlex
import subprocess
import sys
import time

from faults import FAULTS, Fault

PROJECT = pathlib.Path(__file__).parents[1]
LIMIT = 900
"""Seconds after which a run of tests counts as one that noticed nothing."""


def main() -> None:
    """Plants the faults that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="store_true", help="only see that they fit")
    parser.add_argument("--record", type=pathlib.Path, help="a JSON file to add to")
    asked = parser.parse_args()
    unknown = set(asked.names) - {fault.name for fault in FAULTS}
    if unknown:
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")
    chosen = [f for f in FAULTS if not asked.names or f.name in asked.names]
    misfits = [fault.name for fault in chosen if not fits(fault)]
    if misfits:
        sys.exit(f"these do not stand once in their file: {', '.join(misfits)}")
    survivors = []
    for fault in chosen if not asked.check else []:
        start = time.time()
        noticed = notice(fault)
        print(f"{fault.name}: {noticed or 'SURVIVED'}, {time.time() - start:.0f} s")
        survivors += [] if noticed else [fault.name]
        if asked.record:
            _record(asked.record, fault.name, noticed)
    sys.exit(f"survived: {', '.join(survivors)}" if survivors else 0)


def fits(fault: Fault) -> bool:
    """Whether what a fault replaces stands exactly once in its file."""
    file = PROJECT / fault.file
    return file.exists() and file.read_text().count(fault.old) == 1


def notice(fault: Fault) -> str | None:
    """The first test that fails with the fault in place."""
    with planted(fault):
        for arguments in (*fault.tests, ""):
            failed = first_failure(shlex.split(arguments))
            if failed:
                return failed
    return None


@contextlib.contextmanager
def planted(fault: Fault):
    """The working tree with the fault in it."""
    file = PROJECT / fault.file
    text = file.read_text()
    try:
        file.write_text(text.replace(fault.old, fault.new))
        yield
    finally:
        file.write_text(text)


def first_failure(arguments: list[str]) -> str | None:
    """Runs pytest until a test fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    try:
        ran = subprocess.run(
            [*command, *arguments],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", ran.stdout, re.MULTILINE)
    stopped = "stopping after 1 failures" in ran.stdout  # of two processes: 1 or 2
    if ran.returncode not in (0, 1) and not stopped:
        raise RuntimeError(f"pytest ended with {ran.returncode}: {ran.stdout[-1500:]}")
    return found.group(1) if found else None


def _record(file: pathlib.Path, name: str, noticed: str | None) -> None:
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | {name: noticed}, indent=2) + "\n")


if __name__ == "__main__":
    main()
