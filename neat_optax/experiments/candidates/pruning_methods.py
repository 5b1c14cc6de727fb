"""The ways of pruning: what is pruned, by what and when, and how each one is made."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from neat_optax import _checks, by_path, pass_gradient, sparsity
from neat_optax._leaves import per_leaf, whole_tree

N_OF_M = "n:m"
EXCHANGES_APART = 4
"""How many times rarer weights are exchanged than other masks change."""
ALLOCATIONS = {
    "uniform": (per_leaf, sparsity.uniform),
    "erk": (per_leaf, sparsity.erdos_renyi_kernel),
    "global": (whole_tree, sparsity.uniform),
}
GRANULARITIES = {"entries": sparsity.entries, "units": sparsity.units(-1)}
RANDOM = "random"
_SCORES = {
    score.name: score
    for score in (
        sparsity.magnitude,
        sparsity.saliency,
        sparsity.movement,
        sparsity.snip,
    )
}
SCORES = (*_SCORES, RANDOM)
_OUTPUTS = ("last/", "heads/")
"""Where the layers begin whose units are classes: what the network says, not how."""


class Rules(NamedTuple):
    """What all prunings of a run have in common, by name."""

    allocate: str = "erk"  # better than uniform on digits, on validation data
    score: str = "magnitude"
    granularity: str = "entries"

    def check(self) -> None:
        """Raises unless each is known."""
        _checks.check_choice("allocate", self.allocate, tuple(ALLOCATIONS))
        _checks.check_choice("score", self.score, SCORES)
        _checks.check_choice("granularity", self.granularity, tuple(GRANULARITIES))


class Plan(NamedTuple):
    """What a method may know."""

    optimizer: optax.GradientTransformation
    steps: int  # of the whole run
    key: Any  # the seed's own random key
    rules: Rules

    @property
    def every(self) -> int:
        """Steps between two changes of a mask."""
        return max(1, self.steps // 100)

    @property
    def ramp(self) -> int:
        """The step at which pruning ends: three quarters in, where a mask changes."""
        return self.every * max(1, 3 * self.steps // (4 * self.every))

    @property
    def score(self) -> sparsity.Score:
        """What is kept."""
        if self.rules.score == RANDOM:
            return sparsity.random(self.key)
        return _SCORES[self.rules.score]

    @property
    def division(self) -> dict[str, Any]:
        """What counts together, and what is kept as one."""
        scope, allocation = ALLOCATIONS[self.rules.allocate]
        return {
            "scope": scope,
            "allocation": allocation,
            "granularity": GRANULARITIES[self.rules.granularity],
            "mask": _hidden if self.rules.granularity == "units" else None,
        }

    def then(self, last: optax.GradientTransformation) -> optax.GradientTransformation:
        """The optimizer, followed by what prunes."""
        return pass_gradient(optax.chain(self.optimizer, last))


_hidden = by_path(lambda path, leaf: leaf.ndim > 1 and not path.startswith(_OUTPUTS))


class Method(NamedTuple):
    """A way of pruning: `make(plan, amount)` gives the whole optimizer."""

    make: Callable[[Plan, Any], optax.GradientTransformation]
    about: str
    scores: tuple[str, ...] = SCORES
    granularities: tuple[str, ...] = tuple(GRANULARITIES)

    def check(self, name: str, rules: Rules) -> None:
        """Raises where the method has no use for a rule."""
        known = {"score": self.scores, "granularity": self.granularities}
        for option, choices in known.items():
            value = getattr(rules, option)
            if value not in choices:
                raise ValueError(
                    f"`{option}` must be {' or '.join(choices)} for {name}, got "
                    f"{value}."
                )


def _once(plan: Plan, amount: float):
    at = plan.steps // 4
    prune = sparsity.prune_to_sparsity(
        amount, begin=at, end=at, score=plan.score, **plan.division
    )
    return plan.then(prune)


def _follow(schedule: Callable[[float, int], optax.Schedule]):
    """From a schedule, by the final sparsity and the step at which it is reached."""

    def make(plan: Plan, amount: float):
        prune = sparsity.prune_to_sparsity(
            schedule(amount, plan.ramp),
            end=plan.ramp,
            every=plan.every,
            score=plan.score,
            **plan.division,
        )
        return plan.then(prune)

    return make


def _feedback(plan: Plan, amount: float):
    """With the gain that leaves 0.01 % of the way when pruning ends."""
    gain = 1 - 0.0001 ** (plan.every / plan.ramp)
    prune = sparsity.adapt_pruning(
        amount,
        tolerance=0.0,
        control=sparsity.proportional(gain),
        end=plan.ramp,
        every=plan.every,
        score=plan.score,
        **plan.division,
    )
    return plan.then(prune)


def _exchange(grow: Callable[[Any], sparsity.Score]):
    """From a random key to what grows.

    Weights that come in start at zero, and need some steps before they are judged.
    """

    def make(plan: Plan, amount: float):
        start, growth = jax.random.split(plan.key)
        return sparsity.grow_and_prune(
            plan.optimizer,
            amount,
            fraction=optax.cosine_decay_schedule(0.3, plan.ramp),
            end=plan.ramp,
            every=EXCHANGES_APART * plan.every,
            start=sparsity.random(start),
            drop=plan.score,
            grow=grow(growth),
            **plan.division,
        )

    return make


def _straight_through(plan: Plan, amount: float):
    choose = functools.partial(
        sparsity.make_mask, sparsity=amount, score=plan.score, **plan.division
    )
    return plan.then(sparsity.straight_through(choose, every=plan.every))


def _n_of_m(plan: Plan, amount: tuple[int, int]):
    begin = plan.steps // 4
    return plan.then(sparsity.n_of_m(*amount, begin=begin, score=plan.score))


_ENTRIES = ("entries",)
METHODS = {
    "once": Method(_once, "in one shot, a quarter into the run"),
    "linear": Method(
        _follow(lambda amount, end: optax.linear_schedule(0.0, amount, end)),
        "in equal shares over the first three quarters of the run",
    ),
    "cubic": Method(
        _follow(lambda amount, end: optax.polynomial_schedule(0.0, amount, 3, end)),
        "fast at first, slower later (Zhu and Gupta)",
    ),
    "feedback": Method(_feedback, "by a share of what is still missing"),
    "set": Method(
        _exchange(sparsity.random),
        "sparse from the start, the smallest for random ones",
        granularities=_ENTRIES,
    ),
    "rigl": Method(
        _exchange(lambda _: sparsity.gradient_magnitude),
        "sparse from the start, the smallest for high gradients",
        granularities=_ENTRIES,
    ),
    "ste": Method(
        _straight_through,
        "dense weights trained by a sparse network's gradients",
        scores=("magnitude", RANDOM),
    ),
    N_OF_M: Method(
        _n_of_m,
        "n of every m inputs of a unit, such as 2:4",
        granularities=_ENTRIES,
    ),
}
"""By the name that stands before the sparsity."""
