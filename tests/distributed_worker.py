"""Trains a part of a run, as one of several processes or alone.

    python tests/distributed_worker.py '{"port": 1234, "process": 0, ...}'

The keys are the fields of `Part` and those of `Process`.
"""

import json
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import PartitionSpec as P

import running
import sharded_families as families

STEPS = 4


class Process(NamedTuple):
    """Which of the processes this is."""

    port: int
    process: int
    processes: int


class Part(NamedTuple):
    """Some steps of a run of `STEPS`, from a checkpoint or from the start."""

    name: str  # of a family
    folder: str  # of checkpoints, each named by its step
    begin: int
    end: int


def train(part: Part, devices: int | None = None) -> Any:
    """Goes from step `begin` to `end`, saves, and returns the parameters in NumPy."""
    family, layout = families.FAMILIES[part.name], families.LAYOUTS["fully sharded"]
    tx, mesh = family.build(), families.mesh_of(layout, devices)
    folder = pathlib.Path(part.folder)
    with jax.set_mesh(mesh), ocp.StandardCheckpointer() as checkpointer:
        params = families.place(families.params(), mesh, layout.params)
        places = families.shardings(tx, params, layout, mesh)
        state = jax.jit(tx.init, out_shardings=places)(params)
        if part.begin:
            like = jax.tree.map(ocp.utils.to_shape_dtype_struct, (params, state))
            params, state = checkpointer.restore(folder / str(part.begin), like)
        steps = slice(part.begin, part.end)
        batches = [x[steps] for x in families.batches(STEPS)]
        x, y = families.place(batches, mesh, P(None, families.AXIS))
        step = jax.jit(
            lambda *given: families.train(family, layout, tx, *given),
            out_shardings=(jax.tree.map(lambda x: x.sharding, params), places),
            donate_argnums=(0, 1),
        )
        params, state = step(params, state, x, y)
        checkpointer.save(folder / str(part.end), (params, state), force=True)
        whole = families.place(np.zeros(()), mesh, P()).sharding
        params = jax.jit(lambda tree: tree, out_shardings=whole)(params)
    return jax.device_get(params)


def main() -> None:
    """The first process writes what all have."""
    given = json.loads(sys.argv[1])
    process = Process(*(given[name] for name in Process._fields))
    jax.distributed.initialize(
        f"127.0.0.1:{process.port}", process.processes, process.process
    )
    part = Part(*(given[name] for name in Part._fields))
    with running.quickly():
        params = train(part)
    if process.process == 0:
        leaves = jax.tree.leaves(params)
        np.savez(f"{part.folder}/{part.end}.npz", *leaves)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main()
