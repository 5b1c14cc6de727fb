"""The options of the commands: fields are options, keys of a file, help and defaults.

A field that depends on others is None, or an empty tuple, where it is not asked for.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from tyro.conf import Fixed, Suppress, UseAppendAction, arg

from neat_optax import _checks
from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import SCHEDULES, Candidate, Lineup
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.candidates.pruning_methods import (
    ALLOCATIONS,
    GRANULARITIES,
    METHODS,
    SCORES,
    Rules,
)
from neat_optax.experiments.candidates.prunings import SWEEP
from neat_optax.experiments.data import networks, streams
from neat_optax.experiments.data.datasets import LOADERS

EPOCHS, PLAYER_EPOCHS, TASK_EPOCHS, NUM_PLAYERS = 20, 10, 5, 8
_USUAL = Rules()
_KEPT = ("data", "keep", "keep_best")
"""Options that no number of a run depends on."""

Names = UseAppendAction[tuple[str, ...]]
"""An option that may be given several times, each time with one name."""


def _hint(usual: str) -> str:
    return f"(default: {usual})"


def _listed(
    lead: str, members: Mapping[str, Any], more: Callable[[Any], str] = lambda _: ""
) -> str:
    """Help with a line for each member."""
    lines = [f"{name}: {x.about}{more(x)}" for name, x in members.items()]
    return "\n".join([lead, *lines])


def _candidates(lineup: Lineup, also: str = "", streamed: Lineup | None = None) -> Any:
    lead = (
        "one to train, with its control, at the rate after the colon; may be repeated"
    )
    members = (streamed or lineup).candidates

    def more(known: Candidate) -> str:
        where = "" if known in lineup.candidates.values() else ", with --stream"
        return f"{where}, rates near {known.base_rate:g}"

    return arg(
        name=lineup.kind,
        metavar="NAME[:RATE]",
        help=_listed(lead, members, more),
        help_behavior_hint=_hint(", ".join(lineup.default) + also),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What every command that makes a run can be asked for."""

    config: Annotated[
        str | None, arg(metavar="FILE", help_behavior_hint=_hint("none"))
    ] = None
    """a .toml file of these options; those of the command line win"""
    output: Annotated[str, arg(metavar="FOLDER")] = "runs"
    """folder for runs"""
    name: Annotated[
        str | None,
        arg(metavar="NAME", help_behavior_hint=_hint("the subject and a free number")),
    ] = None
    """name of the run; an unfinished run of that name is continued, and the pictures of
    a finished one are drawn again"""
    resume: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint=_hint("none"))
    ] = None
    """an unfinished run that goes on, with its own options; latest: the one that was
    started last"""
    checkpoint_every: Annotated[
        int | None,
        arg(
            metavar="INT",
            help_behavior_hint=_hint("5 epochs of train, 20 generations of evolve"),
        ),
    ] = None
    """how much is between two checkpoints"""

    def check_run(self) -> None:
        """Raises for what no command can do."""
        if self.checkpoint_every is not None:
            _checks.check_count("checkpoint_every", self.checkpoint_every, minimum=1)

    def settings(self) -> dict[str, Any]:
        """What decides on the numbers of a run: the content of `config.json`."""
        place = {field.name for field in dataclasses.fields(RunOptions)}
        names = [field.name for field in dataclasses.fields(self)]
        return {name: getattr(self, name) for name in names if name not in place}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """Trains a network with each optimizer over several seeds and learning rates.

    The rate is selected on validation data, and reported once on test data. With
    --players, every batch gives several gradients, and aggregators are compared. With
    --prune, ways of pruning are compared with dense training. With --stream, one task
    follows the other.
    """

    keep: Annotated[int, arg(metavar="INT")] = 2
    """how many checkpoints of each candidate stay, the last ones; where one is damaged,
    the one before it serves"""
    keep_best: bool = False
    """keep the checkpoint with the highest score on validation data too"""
    dataset: Annotated[str, arg(metavar="NAME", help=", ".join(LOADERS))] = "digits"
    fraction: float = 1.0
    """share of the training examples to use"""
    label_noise: float = 0.0
    """share of the labels to train and to select by that are replaced by another class;
    those of the test part are right"""
    model: Annotated[
        str | None,
        arg(
            metavar="NAME",
            help="\n".join(
                ["the network", *(f"{x}: {y}" for x, y in networks.MODELS.items())]
            ),
            help_behavior_hint=_hint("the usual one"),
        ),
    ] = None
    data: Annotated[
        str | None,
        arg(metavar="FOLDER", help_behavior_hint=_hint("that of NEAT_OPTAX_DATA")),
    ] = None
    """folder with the files of a data set that is read from files"""
    stream: Annotated[
        str | None,
        arg(
            metavar="KIND:TASKS",
            help="a sequence of tasks made from the data set, one after the other: "
            f"{', '.join(streams.VIEWS)}, with the number of tasks, as in permuted:100",
            help_behavior_hint=_hint("none"),
        ),
    ] = None
    optimizers: Annotated[
        Names,
        _candidates(
            OPTIMIZERS,
            f"; with --stream {', '.join(streams.OPTIMIZERS.default)}",
            streams.OPTIMIZERS,
        ),
    ] = ()
    aggregators: Annotated[Names, _candidates(AGGREGATORS)] = ()
    players: Annotated[
        str | None,
        arg(metavar="KIND", help_behavior_hint=_hint("none, one gradient")),
    ] = None
    """examples: groups of every batch; tasks: the labels of a data set that has several
    """
    num_players: Annotated[
        int | None, arg(metavar="INT", help_behavior_hint=_hint(str(NUM_PLAYERS)))
    ] = None
    """groups of a batch, with --players examples"""
    materialize: bool = False
    """form the gradients of all groups, with --players examples; otherwise they stay
    factors where that is cheaper"""
    epochs: Annotated[
        int | None,
        arg(
            metavar="INT",
            help_behavior_hint=_hint(
                f"{EPOCHS}, with --players {PLAYER_EPOCHS}, with --stream {TASK_EPOCHS}"
            ),
        ),
    ] = None
    """passes over the data, with --stream over each task's"""
    seeds: int = 5
    """repetitions"""
    batch_size: int = 64
    """examples per step"""
    learning_rate: Annotated[
        float | None,
        arg(metavar="FLOAT", help_behavior_hint=_hint("each tries a grid of five")),
    ] = None
    """the rate of all that have none of their own"""
    schedule: Annotated[
        str,
        arg(metavar="NAME", help=f"how the rate goes on: {', '.join(SCHEDULES)}"),
    ] = "constant"
    alpha: float = 0.25
    """strength of NEAT"""
    neuroplastic: Suppress[Fixed[dict[str, Any]]] = dataclasses.field(
        default_factory=dict
    )
    """options of the recipe of that name, which only files have"""
    prune: Annotated[
        Names,
        arg(
            metavar="METHOD[:SPARSITY]",
            help=_listed(
                "a way of pruning to train next to dense training, such as cubic:0.9 "
                "or 2:4; may be repeated; without a sparsity "
                f"{', '.join(map(str, SWEEP))}",
                METHODS,
            ),
            help_behavior_hint=_hint("none"),
        ),
    ] = ()
    allocate: Annotated[
        str | None,
        arg(
            metavar="NAME",
            help="how the sparsity is divided among the layers, with --prune: "
            f"{', '.join(ALLOCATIONS)}; n:m is always uniform",
            help_behavior_hint=_hint(_USUAL.allocate),
        ),
    ] = None
    score: Annotated[
        str | None,
        arg(
            metavar="NAME",
            help=f"what is kept, with --prune: the largest {', '.join(SCORES)}",
            help_behavior_hint=_hint(_USUAL.score),
        ),
    ] = None
    granularity: Annotated[
        str | None,
        arg(
            metavar="NAME",
            help="what is pruned as one, with --prune: single "
            f"{', or hidden '.join(GRANULARITIES)}",
            help_behavior_hint=_hint(_USUAL.granularity),
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """What decides on the numbers of a run: the content of `config.json`."""
        names = ("prune", "materialize", "label_noise")
        unset = {name: getattr(self, name) or None for name in names}
        found = super().settings() | unset
        return {name: x for name, x in found.items() if name not in _KEPT}
