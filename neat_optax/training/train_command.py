"""`neat-optax train`: from options to a run."""

import argparse
import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator
from typing import Any

from rich import progress
from rich.console import Console

from neat_optax.training import config_file, pictures, report, streams
from neat_optax.training.aggregators import AGGREGATORS
from neat_optax.training.candidates import Lineup
from neat_optax.training.config import TrainConfig
from neat_optax.training.experiment import load, run
from neat_optax.training.files import RunFolder
from neat_optax.training.optimizers import OPTIMIZERS
from neat_optax.training.options import (
    EPOCHS,
    NUM_PLAYERS,
    OPTIONS,
    OUTPUT,
    PLAYER_EPOCHS,
    TASK_EPOCHS,
    add_options,
)
from neat_optax.training.pruning_methods import METHODS
from neat_optax.training.pruning_plan import Rules


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
    train.add_argument(
        "--config",
        metavar="FILE",
        help="a .toml, .yaml or .yml file of these options; those of the command line "
        "win (default: none)",
    )
    add_options(train)
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


def _gather(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the file, if any, and over them those of the command line."""
    given = vars(arguments)
    file = config_file.read(given["config"]) if "config" in given else {}
    return file | {name: value for name, value in given.items() if name in OPTIONS}


def _train(arguments: argparse.Namespace) -> None:
    options = _gather(arguments)
    config = make_config(options)
    data = load(config)
    output, name = options.get("output", OUTPUT), options.get("name")
    folder = RunFolder(output, name, dataclasses.asdict(config))
    console = Console()
    console.print(f"writing to {folder.path}", highlight=False)
    with _progress(console) as bar, _stop_between_epochs() as stopped:
        task = bar.add_task("", total=config.num_epochs * len(config.names))

        def tick(name: str) -> None:
            bar.update(task, description=name, advance=1)
            if stopped():
                console.print(
                    f"stopped; the same options and --name {folder.path.name} go on "
                    "from the last checkpoint",
                    highlight=False,
                )
                raise KeyboardInterrupt

        result = run(config, data, folder, tick)
    report.show(result, console)
    pictures.draw(result, folder.path / "curves.png")
    if config.prune is not None:
        pictures.draw_sparsity(result, folder.path / "sparsity.png")
    pictures.write_tensorboard(result, folder.path / "tensorboard")
    console.print(f"written to {folder.path}", highlight=False)


@contextlib.contextmanager
def _stop_between_epochs() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a request: compiled work must not be cut short."""
    requests: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def request(number: int, frame: Any) -> None:
        del frame
        requests.append(number)
        signal.signal(signal.SIGINT, before)  # the second one acts at once

    signal.signal(signal.SIGINT, request)
    try:
        yield lambda: bool(requests)
    finally:
        signal.signal(signal.SIGINT, before)


def _progress(console: Console) -> progress.Progress:
    return progress.Progress(
        progress.TextColumn("{task.description:20}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("epochs"),
        progress.TimeElapsedColumn(),
        console=console,
    )
