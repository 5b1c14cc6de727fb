"""What ways of pruning have in common: what is pruned, by what, and when."""

from typing import Any, NamedTuple

import optax

from neat_optax import _checks, by_path, pass_gradient, sparsity
from neat_optax._leaves import per_leaf, whole_tree

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
