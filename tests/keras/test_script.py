"""The script of the documentation, as it stands."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "docs" / "examples" / "keras_digits.py"


@pytest.mark.slow
def test_digits_are_learned_in_forty_lines(tmp_path):
    assert len(SCRIPT.read_text().splitlines()) <= 40
    flags = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, SCRIPT]
    ran = subprocess.run(
        command, cwd=tmp_path, env=flags, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "neat/mean_conflict_ratio" in ran.stdout
    for name in ("NEAT", "UPGrad"):
        found = re.search(f"{name}: .*'accuracy': ([0-9.]+)", ran.stdout)
        assert float(found[1]) > 0.8
