"""What is compared: named candidates, their controls, and the rates they try."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from neat_optax.experiments.data.tasks import Task

SPREAD = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Multiples of its base rate that every candidate is tried with: equal effort."""

SCHEDULES: dict[str, Callable[[Any, int], optax.ScalarOrSchedule]] = {
    "constant": lambda rate, _: rate,
    "cosine": optax.cosine_decay_schedule,
}
"""From a learning rate and the steps of the whole run to the rate of each step."""

Measures = Callable[[Any], dict[str, jax.Array]]
AtEnd = Callable[[Any, Any], dict[str, jax.Array]]


def nothing(params: Any, split: Any) -> dict[str, jax.Array]:
    """What is kept of an epoch's end where nothing is asked for."""
    del params, split
    return {}


def nothing_recorded(opt_state: Any) -> dict[str, jax.Array]:
    """What is kept of a step where nothing is recorded."""
    del opt_state
    return {}


class Setting(NamedTuple):
    """What a candidate may know of the run, besides its learning rate."""

    alpha: float  # strength of NEAT
    task: Task
    steps: int  # of the whole run
    key: jax.Array  # the seed's own, for whatever is random
    neuroplastic: dict[str, Any]  # options of the recipe of that name
    watched: bool = True  # whether it records what it did, which takes time
    task_steps: int | None = None  # of each task, in a stream
    optimizer: Callable[[Any], Any] = optax.adam  # of a rate; it follows an aggregator


class Candidate(NamedTuple):
    """An optimizer, the rate around which it is tuned, and what it is held against."""

    build: Callable[[optax.ScalarOrSchedule, Setting], optax.GradientTransformation]
    base_rate: float
    control: str | None  # trained with it
    about: str
    peers: tuple[str, ...] = ()  # what it is held against too, where they are trained
    did: Callable[[dict[str, Any]], str] | None = None  # instead of the lineup's
    adapt: Callable[[Task], Task] | None = None  # of what is trained, if it changes it
    served: Callable[[Any, Any], Any] | None = None  # of state, params: what is scored


class Lineup(NamedTuple):
    """Candidates that can be compared with one another."""

    kind: str  # what a candidate is called
    candidates: dict[str, Candidate]
    default: tuple[str, ...]
    measures: Measures  # of an optimizer's state, at every step
    did: Callable[[dict[str, Any]], str]  # from a report to what the candidate did
    at_end: AtEnd = nothing  # of parameters and validation examples, after an epoch
    in_turn: bool = False  # whether a CPU trains replicas faster one by one

    def with_controls(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The names, each followed by its control where that is not among them."""
        listed: list[str] = []
        for name in names:
            known = self.candidates.get(name)
            listed.append(name)
            if known and known.control and known.control not in (*listed, *names):
                listed.append(known.control)
        return tuple(listed)

    def what_did(self, name: str, report: dict[str, Any]) -> str:
        """What a candidate did, as the predicate of a sentence."""
        return (self.candidates[name].did or self.did)(report)

    def held_against(self, name: str) -> tuple[str, ...]:
        """The control of a candidate, and its peers."""
        known = self.candidates[name]
        return (*((known.control,) if known.control else ()), *known.peers)

    def rates(
        self, name: str, given: Mapping[str, float], names: Iterable[str] = ()
    ) -> tuple[float, ...]:
        """The learning rates to try: as given, or a grid around the candidate's own.

        A control that is given none tries those of whom it controls: what a rate does
        is then no part of a difference.

        Args:
          name: of a candidate.
          given: a rate by name, which is taken as it is.
          names: all that are compared.
        """
        if name in given:
            return (given[name],)
        others = [x for x in names if self.candidates[x].control == name]
        theirs = [rate for x in others for rate in self.rates(x, given)]
        base = self.candidates[name].base_rate
        grid = tuple(_rounded(base * factor) for factor in SPREAD)
        return tuple(dict.fromkeys(theirs)) or grid


def with_rate(kind: str, text: str) -> tuple[str, float | None]:
    """The name and the learning rate that `adam:1e-3` or `adam` stand for.

    Args:
      kind: what a candidate is called.
      text: NAME or NAME:RATE.

    Example:
      >>> with_rate("optimizer", "adam:1e-3"), with_rate("optimizer", "sgd")
      (('adam', 0.001), ('sgd', None))
    """
    name, colon, written = text.partition(":")
    if not colon:
        return name, None
    try:
        rate = float(written)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise ValueError(
            f"`{kind}` must be a name, or NAME:RATE with a learning rate in (0, inf), "
            f"got {text}."
        )
    return name, rate


def changes_gradient(report: dict[str, Any]) -> str:
    """What a correction did, as the predicate of a sentence."""
    ratio = report["mean_over_run"]["correction_ratio"]
    if ratio == 0:
        return "corrects nothing"
    return f"changes the gradient by {100 * ratio:.2g} % on average"


def _rounded(rate: float) -> float:
    return float(f"{rate:.6g}")
