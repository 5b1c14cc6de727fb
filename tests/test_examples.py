"""Scripts of `docs/examples` run as they stand, and are short."""

import os
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "docs" / "examples"
PRINTED = {
    "linen_digits": "held-out accuracy 0.9",
    "nnx_digits": "held-out accuracy 0.9",
    "eight_devices": (
        "step 0: loss 2.89 on 8 devices\nstep 30: loss 0.11 on 8 devices"
    ),
    "search_in_processes": "generation 0: -0.202, generation 9: -0.049",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_it_runs_and_has_at_most_forty_lines(name, tmp_path):
    script = EXAMPLES / f"{name}.py"
    assert len(script.read_text().splitlines()) <= 40
    without_flags = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    ended = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=without_flags,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().startswith(PRINTED[name])
