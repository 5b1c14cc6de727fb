"""A training that is killed at any moment goes on as if it had not been."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

TESTS = pathlib.Path(__file__).parents[1]
SCRIPT = """
import os, sys
import optax, numpy as np, jax
import small_nets
from neat_optax import training
from neat_optax.experiments.data import Batches

step = training.train_step(small_nets.nnx_model(), small_nets.loss, optax.adam(0.1))
checkpoint = training.Checkpoint(sys.argv[1], every=1, best="loss")
print("begun", flush=True)
data, options = (small_nets.X, small_nets.Y), {"batch_size": 4}
if sys.argv[2] == "iterator":
    data, options = Batches(data, 4, seed=0), {"steps_per_epoch": 7}
options["checkpoint"] = checkpoint
state, history = training.fit(step, data, epochs=4, **options)
leaves = [np.asarray(x) for x in jax.tree.leaves(state._replace(key=0))]
print(history.rows, [x.tobytes().hex() for x in leaves])
best = training.load_checkpoint(checkpoint, step.init(), best=True)
print(int(best.step), sorted(os.listdir(sys.argv[1])))
"""


def start(folder, data):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(folder), data],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("data", ["arrays", "iterator"])
def test_kills_change_nothing(tmp_path, data):
    whole, _ = start(tmp_path / "whole", data).communicate(timeout=200)
    draw, kills = random.Random(0), 0
    for _ in range(4):
        process = start(tmp_path / "killed", data)
        process.stdout.readline()
        time.sleep(draw.uniform(0.5, 4))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    again, _ = start(tmp_path / "killed", data).communicate(timeout=200)
    assert again == whole
    assert kills
