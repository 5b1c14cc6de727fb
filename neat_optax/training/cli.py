"""The command line: `neat-optax train`."""

import argparse
import contextlib
import dataclasses
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

EPOCHS, PLAYER_EPOCHS, NUM_PLAYERS = 20, 10, 8
_HINT = 'the command line needs the extra "train": pip install "neat-optax[train]"'


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit status."""
    try:
        parser = _make_parser()
    except ImportError as error:
        print(f"neat-optax: error: {_HINT} ({error})", file=sys.stderr)
        return 2
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _make_parser() -> argparse.ArgumentParser:
    from neat_optax.training.aggregators import AGGREGATORS
    from neat_optax.training.optimizers import OPTIMIZERS

    parser = _Parser(
        prog="neat-optax",
        description="Train with gradients that disagree, next to the controls.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    listed = "\n\n".join(map(_listed, (OPTIMIZERS, AGGREGATORS)))
    train = commands.add_parser(
        "train",
        help="train optimizers or aggregators side by side on one data set",
        description="Trains an MLP with each optimizer over several seeds and learning "
        "rates,\nselects the rate on validation data, and reports once on test data. "
        "With --players,\nevery batch gives several gradients, and aggregators are "
        "compared.",
        epilog=listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(train)
    train.set_defaults(run=_train)
    return parser


def _listed(lineup: Any) -> str:
    names = [f"  {name:24}{c.about}" for name, c in lineup.candidates.items()]
    return "\n".join([f"{lineup.kind}s:", *names])


def _add_options(train: argparse.ArgumentParser) -> None:
    from neat_optax.training.aggregators import AGGREGATORS
    from neat_optax.training.data import LOADERS
    from neat_optax.training.optimizers import OPTIMIZERS

    add = train.add_argument
    add("--dataset", default="digits", help=f"{', '.join(LOADERS)} (default: digits)")
    for lineup in (OPTIMIZERS, AGGREGATORS):
        add(
            f"--{lineup.kind}",
            action="append",
            metavar="NAME",
            help="one to train, with its control; may be repeated (default: "
            f"{', '.join(lineup.default)})",
        )
    add(
        "--players",
        help="examples: groups of every batch; tasks: the labels of a data set that "
        "has several (default: none, one gradient)",
    )
    add(
        "--num-players",
        type=int,
        help=f"groups of a batch, with --players examples (default: {NUM_PLAYERS})",
    )
    add(
        "--epochs",
        type=int,
        help=f"passes over the data (default: {EPOCHS}, with --players "
        f"{PLAYER_EPOCHS})",
    )
    add("--seeds", type=int, default=5, help="repetitions (default: 5)")
    add("--batch-size", type=int, default=64, help="examples per step (default: 64)")
    add(
        "--learning-rate",
        type=float,
        help="one rate, in NEAT's scale or with --players in Adam's, others at the "
        "matching rate (default: each tries a grid of five)",
    )
    add("--alpha", type=float, default=0.25, help="strength of NEAT (default: 0.25)")
    add("--output", default="runs", help="folder for runs (default: runs)")
    add(
        "--name",
        help="name of the run; an unfinished run of that name is continued (default: "
        "the data set and the next free number)",
    )


def _config(options: argparse.Namespace) -> Any:
    from neat_optax.training.aggregators import AGGREGATORS
    from neat_optax.training.config import TrainConfig
    from neat_optax.training.optimizers import OPTIMIZERS

    optimizers, aggregators = options.optimizer or (), options.aggregator or ()
    epochs, num_players = options.epochs, options.num_players
    if options.players is None:
        optimizers = optimizers or OPTIMIZERS.default
        epochs = EPOCHS if epochs is None else epochs
    else:
        aggregators = aggregators or AGGREGATORS.default
        epochs = PLAYER_EPOCHS if epochs is None else epochs
    if num_players is None and options.players == "examples":
        num_players = NUM_PLAYERS
    return TrainConfig(
        dataset=options.dataset,
        players=options.players,
        optimizers=OPTIMIZERS.with_controls(tuple(optimizers)),
        aggregators=AGGREGATORS.with_controls(tuple(aggregators)),
        num_players=num_players,
        epochs=epochs,
        seeds=options.seeds,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        alpha=options.alpha,
    )


def _train(options: argparse.Namespace) -> None:
    from rich.console import Console

    from neat_optax.training import report
    from neat_optax.training.experiment import load, run
    from neat_optax.training.files import RunFolder

    config = _config(options)
    data = load(config)
    folder = RunFolder(options.output, options.name, dataclasses.asdict(config))
    console = Console()
    console.print(f"writing to {folder.path}", highlight=False)
    with _progress(console) as bar, _stop_between_epochs() as stopped:
        task = bar.add_task("", total=config.epochs * len(config.names))

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
    report.draw(result, folder.path / "curves.png")
    report.write_tensorboard(result, folder.path / "tensorboard")
    report.show(result, console)
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


def _progress(console: Any) -> Any:
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description:20}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("epochs"),
        progress.TimeElapsedColumn(),
        console=console,
    )
