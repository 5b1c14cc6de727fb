"""Trains a part of a run, as one of several processes or alone.

    python tests/distributed_worker.py '{"port": 1234, "process": 0, ...}'

The keys are the fields of `Process`, and of what it does: of `Part` or `Search`.
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
from neat_optax import evolution as evo

STEPS = 4


class Process(NamedTuple):
    """Which of the processes this is."""

    port: int
    process: int
    processes: int


class Part(NamedTuple):
    """Some steps of a run of `STEPS`, from a checkpoint or from the start."""

    names: list[str]  # of families, one trained after another
    folder: str  # of checkpoints, each named by its family and step
    begin: int
    end: int


class Search(NamedTuple):
    """A search whose individuals are divided among all devices."""

    folder: str  # to write to, as `search.npz`


def train(part: Part, devices: int | None = None) -> dict[str, Any]:
    """Goes from step `begin` to `end`, saves, and returns the parameters in NumPy."""
    return {name: train_one(name, part, devices) for name in part.names}


def train_one(name: str, part: Part, devices: int | None) -> Any:
    """What one family comes to."""
    family, layout = families.FAMILIES[name], families.LAYOUTS["fully sharded"]
    tx, mesh = family.build(), families.mesh_of(layout, devices)
    folder = pathlib.Path(part.folder) / name
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


def leaf_names(tree: Any) -> list[str]:
    """The path of each leaf."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)]


def search(place: Any, **options: Any) -> evo.SearchResult:
    """Of individuals that `place` puts somewhere."""
    population = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    return evo.search(
        0,
        np.ones(8, np.float32),
        lambda weights: -((weights - 2) ** 2).sum(),
        evo.breeder(evo.truncation(4)),
        generations=6,
        population_size=place(population),
        **options,
    )


def search_together(folder: str) -> Any:
    """What the history holds, and the refusal of a checkpoint."""
    mesh = families.mesh_of(families.LAYOUTS["fully sharded"])
    place = lambda x: families.place(x, mesh, P(families.AXIS))  # noqa: E731
    refused = ""
    with jax.set_mesh(mesh):
        history = search(place).history
        try:
            search(place, checkpoint=f"{folder}/search")
        except ValueError as error:
            refused = str(error)
    return {**history, "refused": np.array(refused)}


def main() -> None:
    """The first process writes what all have."""
    given = json.loads(sys.argv[1])
    process = Process(*(given.pop(name) for name in Process._fields))
    jax.distributed.initialize(
        f"127.0.0.1:{process.port}", process.processes, process.process
    )
    with running.quickly():
        if "names" in given:
            part = Part(**given)
            file, params = f"{part.end}.npz", train(part)
            found = dict(zip(leaf_names(params), jax.tree.leaves(params), strict=True))
        else:
            file, found = "search.npz", search_together(given["folder"])
    if process.process == 0:
        np.savez(f"{given['folder']}/{file}", **found)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main()
