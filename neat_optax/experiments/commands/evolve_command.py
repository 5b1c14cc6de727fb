"""`neat-optax evolve`: weights by search, without gradients."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from neat_optax.experiments.commands.evolve_config import (
    EvolveConfig,
    EvolveOptions,
    make_config,
)
from neat_optax.experiments.reports import evolve_pictures
from neat_optax.experiments.runs import cartpole, running
from neat_optax.experiments.runs.evolve_experiment import Tick, run
from neat_optax.experiments.runs.evolve_tasks import Task, make_task
from neat_optax.experiments.runs.files import RunFolder


def evolve(options: EvolveOptions, arguments: Sequence[str]) -> None:
    """Searches, and writes and shows the result.

    Args:
      options: what is asked for.
      arguments: the command line that asks for it.
    """
    task = make_task(options.task)
    config = make_config(options, task)
    folder = RunFolder(config.output, config.name, config.settings())
    console = Console()
    running.say(console, f"writing to {folder.path}")
    again = running.command(arguments, folder.path.name)
    with (
        running.stoppable(console, again) as stop_if_asked,
        running.make_bar(console, "generations") as bar,
    ):
        show_state = _follow(bar, config)

        def tick(seed: int, state: Any, over: bool) -> None:
            show_state(seed, state, over)
            stop_if_asked()

        result = run(config, task, folder, tick)
    evolve_pictures.draw(result, folder.path / "curves.png")
    if task.act is not None:
        _film(task, result["policy"], folder)
    show(result, console)
    running.say(console, f"written to {folder.path}")


def _follow(bar: Any, config: EvolveConfig) -> Tick:
    """Moves one bar over all seeds; a search that ends early has none to come."""
    to_come = {config.seed + i: config.generations for i in range(config.seeds)}
    done: dict[int, int] = {}
    line = bar.add_task("compiling", total=sum(to_come.values()))

    def show_state(seed: int, state: Any, over: bool) -> None:
        done[seed] = int(state.generation)
        if over:
            to_come[seed] = done[seed]
        bar.update(
            line,
            description=f"seed {seed}, best {float(state.best_fitness):.4g}",
            completed=sum(done.values()),
            total=sum(to_come.values()),
        )

    return show_state


def _film(task: Task, policy: Any, folder: RunFolder) -> None:
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
