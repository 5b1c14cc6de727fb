"""What a benchmark is made of: studies, each of methods on one problem."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from neat_optax._timing import Step
from neat_optax.experiments.runs.loop import Trainer


class Score(NamedTuple):
    """The number that methods are compared by."""

    name: str  # what pages call it
    test: str  # its name in what `Trainer.scores` returns
    validation: str  # the measure of an epoch that selects the trial
    larger_is_better: bool = True
    as_ratio: bool = False  # whether differences are those of logarithms
    least: float = 0.0  # difference, of logarithms if so, up to which two are alike
    over_run: bool = False  # the mean over all epochs, of which `test` is a measure
    # too; where it selects as well, seeds select for one another


class Probe(NamedTuple):
    """What the doctor is asked about a study's problem."""

    losses_fn: Callable[..., Any]  # from parameters and a batch to the players' losses
    params: Any
    batches: tuple[Any, ...]
    noise: Callable[[Any], tuple[Any, Any]] | None = None  # halves of a batch
    players: tuple[str, ...] | None = None  # names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Methods on one problem, each with the same number of trials.

    Attributes:
      name: of the problem.
      about: data, network, and who the players are, in one sentence.
      methods: their names, and the learning rates that each tries, as many for each.
        The first is the control that all others are held against.
      controls: methods that stand for doing nothing, the first method among them.
      trainer: from the name of a method to its trainer over all rates and seeds.
      held_out: the test part, as `Trainer.scores` takes it; nothing else sees it.
      score: what methods are compared by.
      seeds: repetitions, at least 5; a seed means the same for every method.
      num_epochs: pieces of the training between which it can be stopped.
      settings: sizes and options that decide the numbers.
      measures: those of an epoch that are shown beside the score, by their heading.
      step: from a method to one plain step of it, whose cost is shown; None for none.
      probe: what the doctor is asked; None where no loss of players exists.
      notes: what a reader must know to judge the figures, as the overlap of samples.
      checkpoint_every: pieces between two checkpoints; by default 5.
      kept: other scores of the selected trial that are kept, of every seed.
    """

    name: str
    about: str
    methods: Mapping[str, tuple[float, ...]]
    controls: tuple[str, ...]
    trainer: Callable[[str], Trainer]
    held_out: Any
    score: Score
    seeds: int
    num_epochs: int
    settings: Mapping[str, Any]
    measures: Mapping[str, str] = dataclasses.field(default_factory=dict)
    step: Callable[[str], Step] | None = None
    probe: Callable[[], Probe] | None = None
    notes: str = ""
    checkpoint_every: int | None = None
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = {len(tried) for tried in self.methods.values()}
        if len(counts) != 1:
            raise ValueError(
                f"`methods` must try as many rates each in {self.name}, got "
                f"{sorted(counts)}."
            )
        first = next(iter(self.methods))
        if self.controls[:1] != (first,):
            raise ValueError(
                f"`controls` must begin with the first method, {first}, got "
                f"{self.controls}."
            )

    def rates(self, name: str) -> tuple[float, ...]:
        """The learning rates that a method tries."""
        return self.methods[name]

    @property
    def trials(self) -> int:
        """How many learning rates each method tries."""
        return len(next(iter(self.methods.values())))

    def options(self) -> dict[str, Any]:
        """What decides the numbers: the content of the study's `config.json`."""
        given = {"study": self.name, "seeds": self.seeds, "num_epochs": self.num_epochs}
        return {**given, "trials": self.trials, **self.settings}


class Table(NamedTuple):
    """Figures that are no study's, as a page shows them."""

    title: str
    text: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Benchmark(NamedTuple):
    """Studies that answer one question, small or in the papers' sizes.

    Attributes:
      about: the question.
      studies: from `full` and a folder of data to the studies.
      pictures: draws into a folder from the result.
      tables: from `full` and the results of the studies to figures of another kind.
      measured: from `full`, a folder in which it keeps what it has, and a function that
        is called between two pieces and may stop it, to figures of no study.
    """

    about: str
    studies: Callable[[bool, str | None], list[Study]]
    pictures: Callable[[dict[str, Any], pathlib.Path], None] | None = None
    tables: Callable[[bool, dict[str, Any]], list[Table]] | None = None
    measured: (
        Callable[[bool, pathlib.Path, Callable[[str], None]], list[Table]] | None
    ) = None
