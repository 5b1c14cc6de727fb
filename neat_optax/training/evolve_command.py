"""`neat-optax evolve`: weights by search, without gradients."""

import argparse
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from rich import progress
from rich.console import Console

from neat_optax import evolution
from neat_optax.training import cartpole, evolve_pictures, experiment
from neat_optax.training.evolve_config import OPTIONS, EvolveConfig, make_config
from neat_optax.training.evolve_tasks import Task, init_stacked, make_task
from neat_optax.training.files import RunFolder, plain
from neat_optax.training.options import OUTPUT

BEST = "best"
"""The name of the checkpoint with the policy that was selected."""
Tick = Callable[[int, Any], None]


def add_to(commands: Any) -> None:
    """Adds the command to a parser's commands."""
    evolve = commands.add_parser(
        "evolve",
        help="search weights with a population, without gradients",
        description="Searches the weights of a small network: each generation is bred "
        "from the best of the one before. Reports each seed once on data, or episodes, "
        "that the search has not met, and saves the policy that did best on others.",
        argument_default=argparse.SUPPRESS,
    )
    for name, (kind, about) in OPTIONS.items():
        evolve.add_argument(f"--{name.replace('_', '-')}", type=kind, help=about)
    evolve.set_defaults(run=_evolve)


def run(
    config: EvolveConfig, task: Task, folder: RunFolder, tick: Tick
) -> dict[str, Any]:
    """Searches, tests, and writes the policy and the result.

    Args:
      config: what to do.
      task: of that name.
      folder: where to write.
      tick: called with the seed and the state of its search from time to time.

    Returns:
      The content of `result.json`, where a nan is null, and `policy`: the weights that
      were selected.
    """
    runs, policies = [], {}
    for seed in range(config.seed, config.seed + config.seeds):
        search_key, select_key, test_key = jax.random.split(jax.random.key(seed), 3)
        found = _search(search_key, config, task, lambda x, seed=seed: tick(seed, x))
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
    if not folder.restore(BEST, policy)[0]:
        folder.save(BEST, chosen["generations"], policy, [])
    result = {
        "config": dataclasses.asdict(config),
        "environment": experiment.environment(),
        "measure": task.measure,
        "selected": chosen["seed"],
        "runs": runs,
    }
    folder.write("result.json", plain(result))
    return {**result, "policy": policy}


def _search(key: Any, config: EvolveConfig, task: Task, tick: Callable) -> Any:
    """One search, in each generation of which fitness meets one key."""
    first_key, key = jax.random.split(key)
    return evolution.search(
        key,
        task.init(first_key),
        task.fitness,
        _breeder(config),
        generations=config.generations,
        initial_population=init_stacked(task, first_key, config.population),
        evaluation_key="shared",
        batch_size=config.batch_size,
        goal=config.goal,
        callbacks=[lambda state, history: tick(state)],  # noqa: ARG005
    )


@functools.cache
def _breeder(config: EvolveConfig) -> Any:
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


def _evolve(arguments: argparse.Namespace) -> None:
    options = vars(arguments)
    task = make_task(options.get("task", "digits"))
    config = make_config(options, task)
    output, name = options.get("output", OUTPUT), options.get("name")
    folder = RunFolder(output, name, dataclasses.asdict(config))
    console = Console()
    console.print(f"writing to {folder.path}", highlight=False)
    with _progress(console) as bar:
        seeds = range(config.seed, config.seed + config.seeds)
        lines = {
            seed: bar.add_task(f"seed {seed}", total=config.generations)
            for seed in seeds
        }

        def tick(seed: int, state: Any) -> None:
            bar.update(lines[seed], completed=int(state.generation))

        result = run(config, task, folder, tick)
    evolve_pictures.draw(result, folder.path / "curves.png")
    if task.act is not None:
        _film(task, result["policy"], folder)
    show(result, console)
    console.print(f"written to {folder.path}", highlight=False)


def _film(task: Task, policy: Any, folder: RunFolder) -> None:
    act = task.act
    assert act is not None
    states, total = cartpole.record(lambda state: act(policy, state), 0)
    evolve_pictures.animate(states[: int(total) + 1], folder.path / "pole.gif")


def show(result: dict[str, Any], console: Console) -> None:
    """Prints what each seed has found."""
    goal, measure = result["config"]["goal"], result["measure"]
    for one in result["runs"]:
        reached = one["reached"]
        when = (
            f"best fitness {one['fitness']:.4g} after {one['generations']} generations"
            if reached is None
            else f"fitness {goal:g} reached in generation {reached}"
        )
        verdict = "solved" if one["solved"] else "not solved"
        console.print(
            f"seed {one['seed']}: {when}; test {measure} {one['test']:.4g}, {verdict}",
            highlight=False,
        )
    chosen = f"the policy of seed {result['selected']} is saved"
    console.print(f"generation 0 is the first; {chosen}", style="dim", highlight=False)


def _progress(console: Console) -> progress.Progress:
    return progress.Progress(
        progress.TextColumn("{task.description:20}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("generations"),
        progress.TimeElapsedColumn(),
        console=console,
    )
