"""`neat-optax train`: from options to a run."""

import argparse
import dataclasses
from typing import Any

from rich.console import Console

from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import Lineup
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.candidates.pruning_methods import METHODS
from neat_optax.experiments.candidates.pruning_plan import Rules
from neat_optax.experiments.commands import config_file
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.commands.options import (
    EPOCHS,
    NUM_PLAYERS,
    OPTIONS,
    OUTPUT,
    PLAYER_EPOCHS,
    TASK_EPOCHS,
    add_options,
)
from neat_optax.experiments.data import streams
from neat_optax.experiments.reports import pictures, report
from neat_optax.experiments.runs import running
from neat_optax.experiments.runs.experiment import load, run
from neat_optax.experiments.runs.files import RunFolder


def add_to(commands: Any) -> None:
    """Adds the command to a parser's commands."""
    tables = [
        *[_listed(f"{x.kind}s", x.candidates) for x in (OPTIMIZERS, AGGREGATORS)],
        _listed("ways of pruning", METHODS),
    ]
    train = commands.add_parser(
        "train",
        help="train optimizers, aggregators or ways of pruning side by side",
        description="Trains an MLP with each optimizer over several seeds and learning "
        "rates,\nselects the rate on validation data, and reports once on test data. "
        "With --players,\nevery batch gives several gradients, and aggregators are "
        "compared. With --prune,\nways of pruning are compared with dense training. "
        "With --stream, one task\nfollows the other.",
        epilog="\n\n".join(tables),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    add_options(train, OPTIONS)
    train.set_defaults(run=_train)


def _listed(kind: str, members: dict[str, Any]) -> str:
    names = [f"  {name:24}{member.about}" for name, member in members.items()]
    return "\n".join([f"{kind}:", *names])


def make_config(options: dict[str, Any]) -> TrainConfig:
    """What is asked for: the options given, by key, and the defaults of all others."""
    players, prune = options.get("players"), options.get("prune")
    optimizers = OPTIMIZERS if options.get("stream") is None else streams.OPTIMIZERS
    plain = players is None and prune is None
    usual: dict[str, Any] = {"epochs": EPOCHS if players is None else PLAYER_EPOCHS}
    if options.get("stream") is not None:
        usual["epochs"] = TASK_EPOCHS
    if players == "examples":
        usual["num_players"] = NUM_PLAYERS
    if prune is not None:
        usual |= Rules()._asdict()
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    given = {name: value for name, value in options.items() if name in fields}
    lists = {
        "optimizers": _names(optimizers, options.get("optimizer"), plain),
        "aggregators": _names(
            AGGREGATORS, options.get("aggregator"), players is not None
        ),
        "prune": None if prune is None else tuple(prune),
    }
    return TrainConfig(**{**usual, **given, **lists})


def _names(lineup: Lineup, given: list[str] | None, asked: bool) -> tuple[str, ...]:
    usual = lineup.default if asked else ()
    return lineup.with_controls(usual if given is None else tuple(given))


def _train(arguments: argparse.Namespace) -> None:
    options = config_file.gather(arguments, OPTIONS)
    config = make_config(options)
    data = load(config)
    output, name = options.get("output", OUTPUT), options.get("name")
    folder = RunFolder(output, name, dataclasses.asdict(config))
    console = Console()
    running.say(console, f"writing to {folder.path}")
    again = running.command("train", arguments, OPTIONS, folder.path.name)
    with (
        running.stoppable(console, again) as stop_if_asked,
        running.make_bar(console, "epochs") as bar,
    ):
        line = bar.add_task("", total=config.num_epochs * len(config.names))

        def tick(name: str) -> None:
            bar.update(line, description=name, advance=1)
            stop_if_asked()

        result = run(config, data, folder, tick)
    report.show(result, console)
    pictures.draw(result, folder.path / "curves.png")
    if config.prune is not None:
        pictures.draw_sparsity(result, folder.path / "sparsity.png")
    pictures.write_tensorboard(result, folder.path / "tensorboard")
    running.say(console, f"written to {folder.path}")
