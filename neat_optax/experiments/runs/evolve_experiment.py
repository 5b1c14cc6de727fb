"""One run: search with each seed, select one policy, report each once on test."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from neat_optax import evolution
from neat_optax.experiments.commands.evolve_config import EvolveConfig
from neat_optax.experiments.runs.evolve_tasks import Task, init_stacked
from neat_optax.experiments.runs.files import RunFolder
from neat_optax.experiments.runs.provenance import environment
from neat_optax.experiments.runs.writing import plain

BEST = "best"
"""The name of the checkpoint with the policy that was selected."""
CHECKPOINT_EVERY = 20
"""Generations between two checkpoints, where nothing else is asked for."""

Tick = Callable[[int, evolution.SearchState, bool], None]
"""Gets a seed, the state of its search, and whether that is over."""


def run(
    config: EvolveConfig, task: Task, folder: RunFolder, tick: Tick
) -> dict[str, Any]:
    """Searches, tests, and writes the policy and the result.

    Args:
      config: what to do.
      task: of that name.
      folder: where to write; unfinished searches found there are continued.
      tick: called after each checkpoint, and after each search.

    Returns:
      The content of `result.json`, where a nan is null, and `policy`: the weights that
      were selected.
    """
    runs, policies = [], {}
    for seed in range(config.seed, config.seed + config.seeds):
        search_key, select_key, test_key = jax.random.split(jax.random.key(seed), 3)
        found = _search(search_key, seed, config, task, folder, tick)
        policies[seed] = found.best_params
        test = float(task.test(found.best_params, test_key))
        runs.append(
            {
                "seed": seed,
                "stopped": found.stopped,
                "reached": found.reached,
                "generations": found.generations,
                "fitness": found.best_fitness,
                "select": float(task.select(found.best_params, select_key)),
                "test": test,
                "solved": task.solved(test),
                "history": {name: x.tolist() for name, x in found.history.items()},
            }
        )
    chosen = max(runs, key=lambda one: one["select"])
    policy = policies[chosen["seed"]]
    if folder.restore(BEST, policy)[0] != chosen["generations"]:
        folder.save(BEST, chosen["generations"], policy, [])
        folder.wait()
    result = {
        "config": config.settings(),
        "environment": environment(),
        "monitor": task.monitor,
        "enough": task.enough,
        "selected": chosen["seed"],
        "runs": runs,
    }
    folder.write("result.json", plain(result))
    return {**result, "policy": policy}


def _search(
    key: jax.Array,
    seed: int,
    config: EvolveConfig,
    task: Task,
    folder: RunFolder,
    tick: Tick,
) -> evolution.SearchResult:
    """One search, in each generation of which fitness meets one key."""
    first_key, key = jax.random.split(key)
    curves = folder.path / "tensorboard" / _name(seed)
    for written in curves.glob("events.out.tfevents.*"):
        written.unlink()  # a search that goes on writes all again
    with evolution.TensorBoard(curves, prefix="") as board:

        def note(state: evolution.SearchState, history: Any) -> None:
            board(state, history)
            tick(seed, state, False)

        found = evolution.search(
            key,
            task.init(first_key),
            evolution.of_individual(
                task.fitness, evaluation_key="shared", batch_size=config.batch_size
            ),
            make_breeder(config),
            generations=config.generations,
            population_size=init_stacked(task, first_key, config.population),
            args=task.args,
            limits=evolution.Limits(goal=config.goal),
            chunk=config.checkpoint_every or CHECKPOINT_EVERY,
            callbacks=note,
            checkpoint=folder.path / "checkpoints" / _name(seed),
        )
        board(found.state, found.history)  # of a search that was over, `note` saw none
    tick(seed, found.state, True)
    return found


def _name(seed: int) -> str:
    return f"seed-{seed}"


@functools.cache
def make_breeder(config: EvolveConfig) -> Any:
    """The same object for all seeds, which then share one compiled search."""
    breeder = evolution.breeder(
        evolution.truncation(config.parents),
        mutation=evolution.gaussian(config.mutation_scale, config.mutation_rate),
        num_elites=config.elites,
        reevaluate=config.reevaluate,
    )
    if config.acceptance is None:
        return breeder
    criterion = evolution.minimal_criterion(config.acceptance)
    return evolution.chain(criterion, breeder)
