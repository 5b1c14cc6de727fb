"""What to do about it: from measures to a recommendation, with nothing run."""

from typing import NamedTuple

import numpy as np

from neat_optax._citing import cite
from neat_optax.advice._candidates import KNOWN, NONE, Candidate
from neat_optax.advice._measures import Measures
from neat_optax.advice._steps import MEAN
from neat_optax.advice._trial import Trial


class Thresholds(NamedTuple):
    """All numbers that `recommend` compares with.

    Attributes:
      norm_ratio: gradients whose lengths differ by more count as unbalanced.
      quiet: share of noise below which the losses count as terms of one fixed problem.
      few: that many players at most are terms of one problem.
      saved: a candidate within the best one's interval is preferred if it costs less.
    """

    norm_ratio: float = 10.0
    quiet: float = 0.2
    few: int = 8
    saved: float = 1.0


class Recommendation(NamedTuple):
    """What to take.

    Attributes:
      method: a name of `KNOWN`, of the caller's candidates, or "none".
      reason: in one or two sentences.
      code: to paste.
      papers: BibTeX of what is used.
    """

    method: str
    reason: str
    code: str
    papers: str


def recommend(
    measures: Measures,
    thresholds: Thresholds = Thresholds(),  # noqa: B008
    candidates: dict[str, Candidate] = KNOWN,
) -> Recommendation:
    """The method that the measures speak for, "none" as long as they speak for none.

    A trial decides where there was one: the best candidate that ended below the mean
    beyond the spread of its seeds, or none. Otherwise the geometry decides, as the page
    on the doctor says.

    Args:
      measures: of `neat_optax.doctor`.
      thresholds: what they are compared with.
      candidates: what may be recommended, by name.
    """
    count = len(measures.players)
    if count < 2:
        return _as(NONE, "There is one player, and nobody to conflict with.", 1, {})
    if measures.trial is not None:
        method, reason = _by_trial(measures.trial, measures)
    else:
        method, reason = _by_geometry(measures, thresholds)
    return _as(method, reason, count, candidates)


def _by_trial(trial: dict[str, Trial], measures: Measures) -> tuple[str, str]:
    winners = {
        name: one
        for name, one in trial.items()
        if name != MEAN and one.difference.high < 0
    }
    if not winners:
        others = ", ".join(name for name in trial if name != MEAN)
        return NONE, (
            "In a short trial on a copy none of the candidates ended below the mean "
            f"beyond the spread of its seeds ({others})."
        )
    best = min(winners, key=lambda name: winners[name].difference.mean)
    near = winners[best].difference.high
    alike = [name for name in winners if winners[name].difference.mean <= near]
    cost = measures.costs
    name = min(alike, key=lambda name: cost[name].time if name in cost else 0)
    lower = 1 - float(np.exp(winners[name].difference.mean))
    return name, (
        f"In a short trial on a copy its losses on held-out batches ended {lower:.0%} "
        "lower than the mean's (geometric mean), beyond the spread of its seeds."
    )


def _by_geometry(measures: Measures, limits: Thresholds) -> tuple[str, str]:
    harmed = measures.plain.harmed
    opposed = measures.plain.opposed_pairs[0] > 0
    unequal = measures.norm_ratio > limits.norm_ratio
    few = len(measures.players) <= limits.few and measures.noise < limits.quiet
    lengths = f"the longest gradient is {measures.norm_ratio:.3g} times the shortest"
    if few and (unequal or opposed):
        why = lengths if unequal else _conflict(measures)
        return "nash_mtl", (
            f"Few players, hardly any noise, and {why}: their gains are to be equal "
            "whatever their scales."
        )
    if opposed and harmed:
        names = ", ".join(measures.players[number] for number in harmed)
        return (
            "upgrad",
            f"The mean harms {names} beyond noise, and {_conflict(measures)}.",
        )
    if unequal:
        return "grad_norm_balancing", (
            f"There is no conflict beyond noise, but {lengths}: the mean follows it."
        )
    if opposed:
        return NONE, f"Though {_conflict(measures)}, the mean harms no player."
    return NONE, (
        "No two players are opposed by more than their noise, and no gradient is much "
        "longer than the others."
    )


def _conflict(measures: Measures) -> str:
    found, pairs = measures.plain.opposed_pairs
    least = measures.plain.expected.min()
    return f"{found} of {pairs} pairs are opposed beyond noise (cosine {least:.2f})"


_CODE = """\
import optax
import neat_optax as neo

optimizer = optax.chain({aggregator}, optax.adam(1e-3))
state = optimizer.init(params)
losses, gradients = neo.value_and_player_grads(losses_fn)(params, batch)
updates, state = optimizer.update(gradients, state, params, losses=losses)
params = optax.apply_updates(params, updates)"""
_PLAIN = """\
import jax, jax.numpy as jnp

loss, gradient = jax.value_and_grad(lambda p: jnp.sum(losses_fn(p, batch)))(params)"""


def _as(
    method: str, reason: str, count: int, candidates: dict[str, Candidate]
) -> Recommendation:
    if method == NONE:
        return Recommendation(NONE, reason, _PLAIN, "")
    chosen = candidates[method]
    code = _CODE.format(aggregator=chosen.code.format(count))
    return Recommendation(method, reason, code, cite(chosen.make(count)))
