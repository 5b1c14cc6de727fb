"""`neat-optax evolve`: weights by search, without gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from rich.console import Console

from neat_optax.experiments.commands.evolve_config import (
    EvolveConfig,
    EvolveOptions,
    make_config,
)
from neat_optax.experiments.reports import tables
from neat_optax.experiments.runs import cartpole, provenance, running
from neat_optax.experiments.runs.evolve_experiment import BEST, Tick, run
from neat_optax.experiments.runs.evolve_tasks import Task, make_task
from neat_optax.experiments.runs.files import RunFolder
from neat_optax.experiments.runs.reading import read_run


def evolve(options: EvolveOptions, arguments: Sequence[str]) -> None:
    """Searches, and writes and shows the result.

    Args:
      options: what is asked for.
      arguments: the command line that asks for it.
    """
    task = make_task(options.task)
    config = make_config(options, task)
    console = Console()
    with RunFolder(config.output, config.name, config.settings()) as folder:
        running.say(console, f"writing to {folder.path}")
        again = running.command(arguments, folder.path.name)
        with running.stoppable(console, again) as stop_if_asked:
            if folder.finished:
                running.say(console, "finished before; its pictures are drawn again")
            else:
                provenance.note(folder, arguments)
                with running.follow(console, "generations") as show:
                    run(config, task, folder, _tick(config, show, stop_if_asked))
            _finish(task, folder, console)
        running.say(console, f"written to {folder.path}")


def _tick(
    config: EvolveConfig, show: running.Show, stop_if_asked: Callable[[str], None]
) -> Tick:
    """Counts the generations of all seeds; what ends early has none to come."""
    to_come = {config.seed + i: config.generations for i in range(config.seeds)}
    done: dict[int, int] = {}

    def tick(seed: int, state: Any, over: bool) -> None:
        done[seed] = int(state.generation)
        if over:
            to_come[seed] = done[seed]
        who = f"seed {seed}, best {float(state.best_fitness):.4g}"
        show(who, sum(done.values()), sum(to_come.values()))
        stop_if_asked(f"with {done[seed]} generations of seed {seed}")

    return tick


def _finish(task: Task, folder: RunFolder, console: Console) -> None:
    """Shows the result that is written, and makes of it what is not there yet."""
    from neat_optax.experiments.reports import evolve_pictures  # loads matplotlib

    finished = read_run(folder.path)
    evolve_pictures.draw(finished.result, folder.path / "curves.png")
    if task.act is not None:
        like = jax.eval_shape(task.init, jax.random.key(0))
        _film(task, folder.restore(BEST, like)[1], folder)
    tables.write_measures([finished], folder.path / "measures.csv")
    show(finished.result, console)


def _film(task: Task, policy: Any, folder: RunFolder) -> None:
    from neat_optax.experiments.reports import evolve_pictures  # loads matplotlib

    act = task.act
    assert act is not None
    states, total = cartpole.record(lambda state: act(policy, state), 0)
    evolve_pictures.animate(states[: int(total) + 1], folder.path / "pole.gif")


def show(result: dict[str, Any], console: Console) -> None:
    """Prints what each seed has found."""
    goal, monitor = result["config"]["goal"], result["monitor"]
    for one in result["runs"]:
        reached = one["reached"]
        when = (
            f"best fitness {one['fitness']:.4g} after {one['generations']} generations"
            if reached is None
            else f"fitness {goal:g} reached in generation {reached}"
        )
        bar = f"which takes {result['enough']:g}"
        verdict = "solved" if one["solved"] else f"not solved, {bar}"
        running.say(
            console,
            f"seed {one['seed']}: {when}; test {monitor} {one['test']:.4g}, {verdict}",
        )
    chosen = f"the policy of seed {result['selected']} is saved"
    console.print(f"generation 0 is the first; {chosen}", style="dim", highlight=False)
