"""What `neat-optax evolve` is asked for: as options, and whole and checked."""

import dataclasses
from typing import Annotated, Any

from tyro.conf import arg

from neat_optax import _checks
from neat_optax.experiments.commands.options import RunOptions
from neat_optax.experiments.runs.evolve_tasks import TASKS, Task

_OF_TASK = "(default: the task's)"
SEEDS = 2**32
"""How many random keys of JAX are different."""
Count = Annotated[int | None, arg(metavar="INT", help_behavior_hint=_OF_TASK)]
Number = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint=_OF_TASK)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Asked(RunOptions):
    """What no task decides on."""

    task: Annotated[str, arg(metavar="NAME", help=", ".join(TASKS))] = "digits"
    acceptance: Annotated[
        float | None,
        arg(metavar="FLOAT", help_behavior_hint="(default: none, all are)"),
    ] = None
    """share of a generation that a moving threshold accepts as parents"""
    seeds: int = 1
    """repetitions"""
    seed: int = 0
    """the first of the seeds"""
    batch_size: int = 16
    """individuals that are evaluated at once"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvolveOptions(_Asked):
    """Searches the weights of a small network with a population, without gradients.

    Each generation is bred from the best of the one before. Reports each seed once on
    data, or episodes, that the search has not met, and saves the policy that did best
    on others.
    """

    generations: Count = None
    """the most generations"""
    population: Count = None
    """individuals of a generation"""
    parents: Count = None
    """how many of the best have offspring"""
    elites: Count = None
    """how many of the best live on"""
    mutation_scale: Number = None
    """size of a mutation; 1 is that of fresh weights"""
    mutation_rate: Number = None
    """share of the weights that change"""
    goal: Number = None
    """fitness with which a search ends"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvolveConfig(_Asked):
    """What `neat-optax evolve` is asked for, of which nothing is left to the task."""

    generations: int
    population: int
    parents: int
    elites: int
    mutation_scale: float
    mutation_rate: float
    goal: float
    reevaluate: bool  # of elites in every generation; the task says whether

    def __post_init__(self) -> None:
        for name in ("generations", "parents", "seeds", "batch_size"):
            _checks.check_count(name, getattr(self, name), minimum=1)
        self.check_run()
        _checks.check_count("population", self.population, minimum=2)
        _checks.check_count("seed", self.seed)
        if self.seed + self.seeds > SEEDS:
            raise ValueError(
                f"`seed`, and those that follow it, must be less than {SEEDS}, got "
                f"{self.seed} and {self.seeds} seeds."
            )
        _checks.check_count("elites", self.elites)
        for name in ("parents", "elites"):
            count = getattr(self, name)
            _checks.check_fewer(name, count, "individuals", self.population)
        _checks.check_number("mutation_scale", self.mutation_scale, "(0, inf)")
        _checks.check_number("mutation_rate", self.mutation_rate, "(0, 1]")
        _checks.check_number("goal", self.goal, "(-inf, inf)")
        if self.acceptance is not None:
            _checks.check_number("acceptance", self.acceptance, "(0, 1)")


def make_config(options: EvolveOptions, task: Task) -> EvolveConfig:
    """What is asked for: the options given, and the task's settings for all others."""
    usual: dict[str, Any] = {"goal": task.goal, **task.settings._asdict()}
    fields = {field.name for field in dataclasses.fields(EvolveOptions)}
    given = {name: getattr(options, name) for name in fields}
    return EvolveConfig(
        **{**usual, **{name: x for name, x in given.items() if x is not None}}
    )
