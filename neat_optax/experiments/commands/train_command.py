"""`neat-optax train`: from options to a run."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import Lineup, with_rate
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.candidates.pruning_methods import Rules
from neat_optax.experiments.commands import report_command, sweeping
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.commands.options import (
    EPOCHS,
    NUM_PLAYERS,
    PLAYER_EPOCHS,
    TASK_EPOCHS,
    TrainOptions,
)
from neat_optax.experiments.data import streams
from neat_optax.experiments.data.datasets import Data
from neat_optax.experiments.reports import report, tables
from neat_optax.experiments.runs import provenance, running
from neat_optax.experiments.runs.checkpoints import Keep
from neat_optax.experiments.runs.experiment import Tick, load, run
from neat_optax.experiments.runs.files import RunFolder
from neat_optax.experiments.runs.reading import read_run


def make_config(options: TrainOptions) -> TrainConfig:
    """What is asked for: the options given, and the defaults of all others."""
    players = options.players
    lineup = OPTIMIZERS if options.stream is None else streams.OPTIMIZERS
    plain = players is None and not options.prune
    usual: dict[str, Any] = {
        "epochs": EPOCHS if players is None else PLAYER_EPOCHS,
        **(Rules()._asdict() if options.prune else {}),
        **({} if options.stream is None else {"epochs": TASK_EPOCHS}),
        **({"num_players": NUM_PLAYERS} if players == "examples" else {}),
    }
    fields = {field.name for field in dataclasses.fields(TrainOptions)}
    given = {name: getattr(options, name) for name in fields}
    names = {
        "dataset": _spelled(options.dataset),
        "optimizers": _names(lineup, options.optimizers, plain),
        "aggregators": _names(AGGREGATORS, options.aggregators, players is not None),
    }
    return TrainConfig(
        **{**usual, **{name: x for name, x in given.items() if x is not None}, **names}
    )


def _names(lineup: Lineup, given: tuple[str, ...], asked: bool) -> tuple[str, ...]:
    """The names with their controls, each with the rate that is given after it."""
    if not asked:
        return given  # which is refused
    texts = given or lineup.default
    found = [with_rate(lineup.kind, _spelled(text)) for text in texts]
    names = lineup.with_controls(tuple(name for name, _ in found))
    if len(set(names)) < len(names):
        return names  # which is refused
    rates = {name: rate for name, rate in found if rate is not None}
    return tuple(f"{x}:{rates[x]}" if x in rates else x for x in names)


def _spelled(name: str) -> str:
    """As names are shown: with dashes, in the place of which there may be underscores.

    Example:
      >>> _spelled("dual_proj")
      'dual-proj'
    """
    return name.replace("_", "-")


def train(options: TrainOptions, arguments: Sequence[str]) -> None:
    """Trains, and writes and shows the result.

    Args:
      options: what is asked for.
      arguments: the command line that asks for it.
    """
    console = running.make_console()
    points = sweeping.points(options)
    if points:
        _sweep(points, options, arguments, console)
        return
    config = make_config(options)
    _train(config, load(config), arguments, config.name, console)


def _train(
    config: TrainConfig,
    data: Data,
    arguments: Sequence[str],
    name: str | None,
    console: Console,
) -> pathlib.Path:
    """Makes one run; by `name` the same command goes on."""
    keep = Keep(config.keep, config.keep_best)
    with RunFolder(config.output, config.name, config.settings(), keep) as folder:
        running.say(console, f"writing to {folder.path}")
        again = running.command(arguments, name or folder.path.name)
        with running.stoppable(console, again) as stop_if_asked:
            if folder.finished:
                running.say(console, "finished before; its pictures are drawn again")
            else:
                provenance.note(folder, arguments)
                with running.follow(console, "epochs") as show:
                    run(config, data, folder, _tick(config, show, stop_if_asked))
            _finish(folder.path, console)
        running.say(console, f"written to {folder.path}")
    return folder.path


def _sweep(
    points: dict[str, TrainOptions],
    options: TrainOptions,
    arguments: Sequence[str],
    console: Console,
) -> None:
    """Makes the runs of a sweep in turn, and a table of them all."""
    for point in points.values():
        make_config(point)  # says now what does not fit
    path = sweeping.open_folder(options, list(points))
    done = []
    for name, point in points.items():
        config = make_config(
            dataclasses.replace(point, name=name, output=str(path), config=None)
        )
        place = _train(config, load(config), arguments, path.name, console)
        done.append(read_run(place))
    rows = tables.summaries(done)
    report_command.show(rows, console)
    tables.write(rows, path / "sweep.csv")
    running.say(console, f"written to {path}")


def _tick(
    config: TrainConfig, show: running.Show, stop_if_asked: Callable[[str], None]
) -> Tick:
    """Counts the epochs of all candidates."""
    before = {name: i * config.num_epochs for i, name in enumerate(config.names)}

    def tick(name: str, done: int) -> None:
        show(name, before[name] + done, len(before) * config.num_epochs)
        stop_if_asked(f"with {done} epochs of {name}")

    return tick


def _finish(path: pathlib.Path, console: Console) -> None:
    """Shows the result that is written, and makes of it what is not there yet."""
    # matplotlib takes time to load, and what is refused draws nothing
    from neat_optax.experiments.reports import pictures, plasticity_pictures

    finished = read_run(path)
    report.show(finished.result, console)
    pictures.draw(finished.result, path / "curves.png")
    if finished.config.get("prune"):
        pictures.draw_sparsity(finished.result, path / "sparsity.png")
    if plasticity_pictures.candidates(finished.result):
        plasticity_pictures.draw(finished.result, path / "plasticity.png")
    pictures.write_tensorboard(finished.result, path / "tensorboard")
    tables.write_measures([finished], path / "measures.csv")
