"""What a step with each candidate costs on this model, beside one with the mean."""

import logging
from typing import NamedTuple

from neat_optax import _timing
from neat_optax.advice._problem import Problem
from neat_optax.advice._steps import MEAN, Compiled

ROUNDS = 7

_log = logging.getLogger(__name__)


class StepCost(NamedTuple):
    """What one training step takes.

    Attributes:
      milliseconds: the median of a few.
      time: as a multiple of a step with the gradient of the mean loss, the median of
        ratios.
      memory: of temporaries and results, as a multiple of that step's.
    """

    milliseconds: float
    time: float
    memory: float


def step_costs(problem: Problem, steps: dict[str, Compiled]) -> dict[str, StepCost]:
    """Costs by name; all steps are timed in turn."""
    asked = {name: step.at(problem) for name, step in steps.items()}
    _log.info("timing %d steps in turn", len(steps))
    found = _timing.costs(asked, rounds=ROUNDS)
    base = found[MEAN]
    return {
        name: StepCost(
            1e3 * cost.median, cost.times(base), cost.bytes / max(base.bytes, 1)
        )
        for name, cost in found.items()
    }
