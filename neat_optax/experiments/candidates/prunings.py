"""The ways of pruning that are compared, each with the same optimizer, Adam.

A pruning is written `METHOD:SPARSITY`, or `2:4` for two of every four weights in a row.
Every one is held against `dense`, which prunes nothing.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, sparsity
from neat_optax.experiments.candidates.candidate import (
    Candidate,
    Lineup,
    Setting,
)
from neat_optax.experiments.candidates.optimizers import ADAM_RATE
from neat_optax.experiments.candidates.pruning_methods import (
    METHODS,
    N_OF_M,
    Plan,
    Rules,
)

CONTROL = "dense"
SWEEP = (0.5, 0.8, 0.9, 0.95, 0.98)
"""The sparsities of a method that is named without one."""

_SHARES = tuple(name for name in METHODS if name != N_OF_M)
"""The methods that take a sparsity."""


class Pruning(NamedTuple):
    """A method and how much it prunes: a sparsity, or (n, m)."""

    method: str
    amount: Any

    @property
    def name(self) -> str:
        """How it is written."""
        if self.method == N_OF_M:
            return "{}:{}".format(*self.amount)
        return f"{self.method}:{self.amount:g}"


def parse(text: str) -> tuple[Pruning, ...]:
    """The prunings that `cubic:0.9`, `cubic` or `2:4` stand for."""
    if re.fullmatch(r"\d+:\d+", text):
        return (Pruning(N_OF_M, _n_of_m(text)),)
    method, colon, share = text.partition(":")
    _checks.check_choice("prune", method, (*_SHARES, "2:4"))
    if not colon:
        return tuple(Pruning(method, share) for share in SWEEP)
    return (Pruning(method, _sparsity(text, share)),)


def _n_of_m(text: str) -> tuple[int, int]:
    n, m = map(int, text.split(":"))
    if not 1 <= n <= m:
        raise ValueError(f"`prune` must be n:m with 1 <= n <= m, got {text}.")
    return n, m


def _sparsity(text: str, share: str) -> float:
    try:
        number = float(share)
    except ValueError:
        number = float("nan")
    if not 0 <= number < 1:
        raise ValueError(f"`prune` must have a sparsity in [0, 1), got {text}.")
    return number


def group(name: str) -> str:
    """The method of a pruning, by its name."""
    return parse(name)[0].method


def lineup(prune: Sequence[str], rules: Rules) -> Lineup:
    """Dense training and the prunings that are asked for.

    Args:
      prune: each as `parse` takes it.
      rules: what is pruned, and by what.
    """
    if not prune:
        raise ValueError("`prune` must be given at least once, got none.")
    prunings = [pruning for text in prune for pruning in parse(text)]
    names = [pruning.name for pruning in prunings]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"`prune` must have each pruning once, got {name} twice.")
    return Lineup(
        kind="pruning",
        candidates={
            CONTROL: Candidate(_dense, ADAM_RATE, None, "no pruning"),
            **{pruning.name: _candidate(pruning, rules) for pruning in prunings},
        },
        default=(CONTROL, *names),
        measures=lambda _: {},
        did=_did,
        at_end=_size,
        in_turn=True,
    )


def _dense(
    rate: optax.ScalarOrSchedule, setting: Setting
) -> optax.GradientTransformation:
    del setting
    return optax.adam(rate)


def _candidate(pruning: Pruning, rules: Rules) -> Candidate:
    method = METHODS[pruning.method]
    method.check(pruning.name, rules)

    def build(rate: optax.ScalarOrSchedule, setting: Setting):
        plan = Plan(optax.adam(rate), setting.steps, setting.key, rules)
        return method.make(plan, pruning.amount)

    return Candidate(build, ADAM_RATE, CONTROL, method.about)


def _size(params: Any, split: Any) -> dict[str, jax.Array]:
    """Share of zeros among the kernels, and parameters that are not zero."""
    del split
    counts = [jnp.count_nonzero(leaf) for leaf in jax.tree.leaves(params)]
    nonzeros = jnp.sum(jnp.asarray(counts))
    return {"sparsity": sparsity.sparsity(params), "nonzeros": nonzeros}


def _did(report: dict[str, Any]) -> str:
    return f"ends with {100 * report['at_end']['sparsity']:.2f} % of its kernels zero"
