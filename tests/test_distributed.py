"""Two processes over the loopback address, and other numbers of devices after them."""

import functools
import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import distributed_worker as worker
import properties
import running
import sharded_families as families

FLAGS = "--xla_force_host_platform_device_count=4"
SECONDS = 300


@functools.cache
def alone(name):
    """The parameters after all steps on one device."""
    family = families.FAMILIES[name]
    tx = family.build()

    def run(params, x, y):
        return families.train(family, None, tx, params, tx.init(params), x, y)[0]

    batches = families.batches(worker.STEPS)
    return jax.device_get(running.quick_jit(run)(families.params(), *batches))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(task, process):
    here = pathlib.Path(__file__).parent
    environment = {**os.environ, "XLA_FLAGS": FLAGS, "PYTHONPATH": str(here)}
    given = json.dumps(task._asdict() | process._asdict())
    return subprocess.Popen(
        [sys.executable, worker.__file__, given],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def two_processes(task, file):
    """What they have written to a file, with four devices each."""
    port = free_port()
    both = [start(task, worker.Process(port, number, 2)) for number in range(2)]
    try:
        for one in both:
            printed, _ = one.communicate(timeout=SECONDS)
            assert one.returncode == 0, printed
    finally:
        for one in both:
            one.kill()
    with np.load(f"{task.folder}/{file}") as found:
        return {name: found[name] for name in found.files}


def trained(part):
    """The parameters after a part, by two processes, for each family."""
    found = two_processes(part, f"{part.end}.npz")
    like = dict.fromkeys(part.names, families.params())
    leaves = [found[name] for name in worker.leaf_names(like)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def assert_same(found):
    for name, params in found.items():
        properties.assert_trees_close(params, alone(name), rtol=2e-5, atol=2e-6)


ALL = list(families.FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("names", [ALL[:4], ALL[4:]])
@running.quickly()
def test_two_processes_train_as_one(names, tmp_path):
    assert_same(trained(worker.Part(names, str(tmp_path), 0, 4)))


@pytest.mark.slow
@running.quickly()
def test_two_processes_save_and_go_on(tmp_path):
    """What they have saved also serves one process, with another number of devices."""
    part = worker.Part(["upgrad"], str(tmp_path), 0, 2)
    trained(part)
    assert_same(trained(part._replace(begin=2, end=4)))
    worker.train(part._replace(begin=2, end=3), devices=4)
    assert_same(worker.train(part._replace(begin=3, end=4), devices=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neat", "player_neat", "grow_and_prune"])
@running.quickly()
def test_a_run_goes_on_with_fewer_devices_and_with_more(name, tmp_path):
    for step, devices in enumerate((8, 4, 1, 8)):
        part = worker.Part([name], str(tmp_path), step, step + 1)
        found = worker.train(part, devices)
    assert_same(found)


@pytest.mark.slow
@running.quickly()
def test_two_processes_search_together(tmp_path):
    found = two_processes(worker.Search(str(tmp_path)), "search.npz")
    assert str(found.pop("refused")).startswith("`checkpoint` must be None for a pop")
    expected = worker.search(lambda population: population).history
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)
