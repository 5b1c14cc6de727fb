"""`keras.distribution` on eight host devices, in a process of its own."""

import json
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
WORKER = pathlib.Path(__file__).with_name("distribution_worker.py")


def test_training_on_eight_devices_is_that_on_one_and_the_state_lies_as_the_model():
    done = subprocess.run(
        [sys.executable, str(WORKER)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert len(report) == 6
    for name, found in report.items():
        assert found["apart"] < 1e-6, name
        assert found["moved"] > 1e-4, name
        split = {key: axes for key, axes in found["specs"].items() if any(axes)}
        kernels = [axes for key, axes in split.items() if key.endswith("first_kernel")]
        biases = [axes for key, axes in split.items() if key.endswith("first_bias")]
        assert len(kernels) + len(biases) == len(split), name
        if name.endswith("data"):
            assert not split
        else:
            assert kernels and all(axes[-2:] == [None, "model"] for axes in kernels)
            assert biases and all(axes[-1] == "model" for axes in biases)
