"""What `neat-optax evolve` is asked for, checked."""

import dataclasses
from typing import Any

from neat_optax import _checks
from neat_optax.experiments.commands.options import OUTPUT, Option
from neat_optax.experiments.runs.evolve_tasks import TASKS, Task

OPTIONS = {
    "task": Option(str, f"{', '.join(TASKS)} (default: digits)"),
    "generations": Option(int, "the most generations (default: the task's)"),
    "population": Option(int, "individuals of a generation (default: the task's)"),
    "parents": Option(int, "how many of the best have offspring (default: the task's)"),
    "elites": Option(int, "how many of the best live on (default: the task's)"),
    "mutation_scale": Option(
        float, "size of a mutation; 1 is that of fresh weights (default: the task's)"
    ),
    "mutation_rate": Option(
        float, "share of the weights that change (default: the task's)"
    ),
    "acceptance": Option(
        float,
        "share of a generation that a moving threshold accepts as parents (default: "
        "none, all are)",
    ),
    "goal": Option(float, "fitness with which a search ends (default: the task's)"),
    "seeds": Option(int, "repetitions (default: 1)"),
    "seed": Option(int, "the first of the seeds (default: 0)"),
    "batch_size": Option(int, "individuals that are evaluated at once (default: 16)"),
    "output": Option(str, f"folder for runs (default: {OUTPUT})"),
    "name": Option(
        str,
        "name of the run; an unfinished run of that name is continued (default: the "
        "task and the next free number)",
    ),
}
"""By their keys in a file; on the command line, dashes stand for underscores."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvolveConfig:
    """What `neat-optax evolve` is asked for."""

    task: str
    generations: int
    population: int
    parents: int
    elites: int
    mutation_scale: float
    mutation_rate: float
    reevaluate: bool
    goal: float
    acceptance: float | None = None
    seeds: int = 1
    seed: int = 0
    batch_size: int = 16

    def __post_init__(self) -> None:
        for name in ("generations", "parents", "seeds", "batch_size"):
            _checks.check_count(name, getattr(self, name), minimum=1)
        _checks.check_count("population", self.population, minimum=2)
        _checks.check_count("seed", self.seed)
        _checks.check_count("elites", self.elites)
        for name in ("parents", "elites"):
            count = getattr(self, name)
            _checks.check_fewer(name, count, "individuals", self.population)
        _checks.check_number("mutation_scale", self.mutation_scale, "(0, inf)")
        _checks.check_number("mutation_rate", self.mutation_rate, "(0, 1]")
        _checks.check_number("goal", self.goal, "(-inf, inf)")
        if self.acceptance is not None:
            _checks.check_number("acceptance", self.acceptance, "(0, 1)")


def make_config(options: dict[str, Any], task: Task) -> EvolveConfig:
    """What is asked for: the options given, and the task's settings for all others."""
    fields = {field.name for field in dataclasses.fields(EvolveConfig)}
    given = {name: value for name, value in options.items() if name in fields}
    usual = {"task": task.name, "goal": task.goal, **task.settings._asdict()}
    return EvolveConfig(**{**usual, **given})
