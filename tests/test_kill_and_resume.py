"""The benchmark that kills runs, with a few kills."""

import os
import pathlib
import subprocess
import sys

import pytest

import running

PROGRAM = pathlib.Path(__file__).parents[1] / "benchmarks" / "kill_and_resume.py"


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_if_it_had_not_been():
    flags = " ".join(
        f"--{name}={str(value).lower()}" for name, value in running.quick().items()
    )
    options = ["--kills", "3", "--kinds", "1", "--truncate", "0"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *options],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills in" in done.stdout
    assert done.stdout.endswith("all equal\n")
