"""The options of `neat-optax train`: on the command line, and as keys of a file."""

import argparse
from typing import NamedTuple

from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import Lineup
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.candidates.pruning_plan import (
    ALLOCATIONS,
    GRANULARITIES,
    SCORES,
    Rules,
)
from neat_optax.experiments.candidates.prunings import SWEEP
from neat_optax.experiments.candidates.schedules import SCHEDULES
from neat_optax.experiments.data import streams
from neat_optax.experiments.data.datasets import LOADERS

EPOCHS, PLAYER_EPOCHS, TASK_EPOCHS, NUM_PLAYERS, OUTPUT = 20, 10, 5, 8, "runs"
_USUAL = Rules()


class Option(NamedTuple):
    """What can be asked for under one name."""

    kind: type  # str, int or float; dict: a table, which only files have
    about: str
    metavar: str | None = None
    repeated: bool = False  # whether there may be several values


def _candidates(lineup: Lineup, also: str = "") -> Option:
    about = (
        "one to train, with its control; may be repeated (default: "
        f"{', '.join(lineup.default)}{also})"
    )
    return Option(str, about, metavar="NAME", repeated=True)


OPTIONS = {
    "dataset": Option(str, f"{', '.join(LOADERS)} (default: digits)"),
    "fraction": Option(float, "share of the training examples to use (default: 1)"),
    "stream": Option(
        str,
        "a sequence of tasks made from the data set, one after the other: "
        f"{', '.join(streams.VIEWS)}, with the number of tasks, as in permuted:100 "
        "(default: none)",
        metavar="KIND:TASKS",
    ),
    "optimizer": _candidates(
        OPTIMIZERS, f"; with --stream {', '.join(streams.OPTIMIZERS.default)}"
    ),
    "aggregator": _candidates(AGGREGATORS),
    "players": Option(
        str,
        "examples: groups of every batch; tasks: the labels of a data set that has "
        "several (default: none, one gradient)",
    ),
    "num_players": Option(
        int,
        f"groups of a batch, with --players examples (default: {NUM_PLAYERS})",
    ),
    "epochs": Option(
        int,
        "passes over the data, with --stream over each task's (default: "
        f"{EPOCHS}, with --players {PLAYER_EPOCHS}, with --stream {TASK_EPOCHS})",
    ),
    "seeds": Option(int, "repetitions (default: 5)"),
    "batch_size": Option(int, "examples per step (default: 64)"),
    "learning_rate": Option(
        float,
        "one rate, in NEAT's scale or with --players or --prune in Adam's, others at "
        "the matching rate (default: each tries a grid of five)",
    ),
    "schedule": Option(
        str, f"how the rate goes on: {', '.join(SCHEDULES)} (default: constant)"
    ),
    "alpha": Option(float, "strength of NEAT (default: 0.25)"),
    "output": Option(str, f"folder for runs (default: {OUTPUT})"),
    "name": Option(
        str,
        "name of the run; an unfinished run of that name is continued (default: the "
        "data set and the next free number)",
    ),
    "prune": Option(
        str,
        "a way of pruning to train next to dense training, such as cubic:0.9 or 2:4; "
        f"may be repeated (without a sparsity: {', '.join(map(str, SWEEP))})",
        metavar="METHOD[:SPARSITY]",
        repeated=True,
    ),
    "allocate": Option(
        str,
        "how the sparsity is divided among the layers, with --prune: "
        f"{', '.join(ALLOCATIONS)}; n:m is always uniform (default: {_USUAL.allocate})",
    ),
    "score": Option(
        str,
        f"what is kept, with --prune: the largest {', '.join(SCORES)} (default: "
        f"{_USUAL.score})",
    ),
    "granularity": Option(
        str,
        "what is pruned as one, with --prune: single "
        f"{', or hidden '.join(GRANULARITIES)} (default: {_USUAL.granularity})",
    ),
    "neuroplastic": Option(dict, "options of the recipe of that name"),
}
"""By their keys in a file; on the command line, dashes stand for underscores."""


def add_options(parser: argparse.ArgumentParser, options: dict[str, Option]) -> None:
    """Adds options to a parser, and `--config`, the file that may hold them."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="a .toml, .yaml or .yml file of these options; those of the command line "
        "win (default: none)",
    )
    for name, option in options.items():
        if option.kind is not dict:
            parser.add_argument(
                flag(name),
                type=option.kind,
                action="append" if option.repeated else "store",
                metavar=option.metavar,
                help=option.about,
            )


def flag(name: str) -> str:
    """How an option is written on the command line."""
    return f"--{name.replace('_', '-')}"
