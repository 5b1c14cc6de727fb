"""What to do about it: from measures to a recommendation, with nothing run."""

from typing import NamedTuple

import numpy as np

from neat_optax._citing import cite
from neat_optax.advice._candidates import KNOWN, NONE, Candidate
from neat_optax.advice._code import code_of, code_of_mean
from neat_optax.advice._geometry import FAINT
from neat_optax.advice._measures import Measures
from neat_optax.advice._steps import MEAN
from neat_optax.advice._trial import Trial

LEAST_RISE = 0.1
"""Of a loss, which is told."""


class Thresholds(NamedTuple):
    """All numbers that `recommend` compares with.

    Attributes:
      norm_ratio: gradients whose lengths differ by more count as unequal.
      gain: by how much the logarithm of losses has to be lower in a trial; what is
        nearer to the best than that is as good, and the cheapest of those is taken.
      quiet: share of noise below which the losses count as terms of one fixed problem.
      few: that many players at most are terms of one problem.
    """

    norm_ratio: float = 5.0
    gain: float = 0.05
    quiet: float = 0.2
    few: int = 8


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

    Without a cause there is no method. With one, a trial decides: the best candidate
    that ended below the mean by enough and beyond the spread of its seeds, and that has
    lowered each loss that the mean lowers; or none.
    Without a trial the geometry decides, as the page on the doctor says.

    Args:
      measures: of `neat_optax.doctor`.
      thresholds: what they are compared with.
      candidates: what may be recommended, by name.
    """
    count, found = len(measures.players), cause(measures, thresholds)
    if count < 2:
        method, reason = NONE, "There is one player, and nobody to conflict with."
    elif found is None:
        method, reason = NONE, _nothing(measures, thresholds)
    elif measures.trial is not None:
        method, reason = _by_trial(measures.trial, found, measures, thresholds)
    else:
        method, reason = _by_geometry(measures, found, thresholds)
    return _as(method, reason, measures, candidates)


def cause(
    measures: Measures,
    thresholds: Thresholds = Thresholds(),  # noqa: B008
) -> str | None:
    """Why something might have to be done, or None.

    Args:
      measures: of `neat_optax.doctor`; costs and a trial are not looked at.
      thresholds: what they are compared with.
    """
    if len(measures.players) < 2:
        return None
    found = []
    harmed = [measures.players[number] for number in measures.plain.harmed]
    if measures.alike:
        return "players are examples of one task, some of which may be outliers"
    if measures.plain.opposed_pairs[0]:
        found.append(_conflict(measures))
    if harmed:
        found.append(f"the mean harms {', '.join(harmed)}")
    if measures.norm_ratio > thresholds.norm_ratio:
        ratio = f"{measures.norm_ratio:.3g}"
        found.append(f"the longest gradient is {ratio} times the shortest")
    return " and ".join(found) or None


def _nothing(measures: Measures, limits: Thresholds) -> str:
    least = measures.plain.expected.min()
    return (
        "No two players are opposed beyond noise (the least cosine is "
        f"{least:+.2f}, and below -{FAINT:g} counts), the mean harms nobody, and the "
        f"longest gradient is {measures.norm_ratio:.3g} times the shortest (above "
        f"{limits.norm_ratio:g} counts)."
    )


def _by_trial(
    trial: dict[str, Trial], why: str, measures: Measures, limits: Thresholds
) -> tuple[str, str]:
    winners = {
        name: one
        for name, one in trial.items()
        if name != MEAN
        and one.difference.high < 0
        and one.difference.mean < -limits.gain
    }
    given_up = _given_up(winners, trial[MEAN], measures, limits)
    winners = {name: one for name, one in winners.items() if name not in given_up}
    if not winners:
        others = ", ".join(name for name in trial if name not in (MEAN, *given_up))
        least = f"{1 - np.exp(-limits.gain):.0%}"
        return NONE, (
            f"Though {why}, no candidate ended {least} below the mean in short "
            f"trainings on a copy ({others or 'all gave a player up'})"
            f"{_but(given_up)}."
        )
    best = min(winners, key=lambda name: winners[name].difference.mean)
    near = winners[best].difference.mean + limits.gain
    alike = [name for name in winners if winners[name].difference.mean <= near]
    cost = measures.costs
    name = min(alike, key=lambda name: cost[name].time if name in cost else 0)
    price = _price(winners[name], measures)
    return name, (
        f"{_capital(why)}. In short trainings on a copy its losses on held-out batches "
        f"ended {_lower(winners[name])}{_rate(winners[name])}{price}{_but(given_up)}."
    )


def _given_up(
    winners: dict[str, Trial], control: Trial, measures: Measures, limits: Thresholds
) -> dict[str, str]:
    """From candidates to the player that they did not train, and the mean did.

    Logarithms of losses near 0 have no end, so that a trivial solution of all other
    players outweighs one that has learned nothing.
    """
    found = {}
    for name, one in winners.items():
        lost = (one.left >= 0) & (control.left < -limits.gain)
        if lost.any() and not measures.alike:
            found[name] = measures.players[int(np.argmax(np.where(lost, one.left, -1)))]
    return found


def _but(given_up: dict[str, str]) -> str:
    if not given_up:
        return ""
    who = ", ".join(given_up)
    lost = ", ".join(dict.fromkeys(given_up.values()))
    return f"; {who} gave up {lost}, whose loss the mean lowers"


def _lower(one: Trial) -> str:
    mean = one.difference.mean
    if (one.losses <= 0).any():
        return f"lower than the mean's by {-mean:.2g} of those at the start"
    return f"at {np.exp(mean):.2g} times the mean's (geometric mean)"


def _rate(one: Trial) -> str:
    return "" if one.factor == 1 else f", at {one.factor:g} times the learning rate"


def _price(one: Trial, measures: Measures) -> str:
    """Whose losses rose."""
    if measures.alike:
        return ""
    pairs = zip(measures.players, one.apart, strict=True)
    worse = {name: x for name, x in pairs if np.expm1(x) >= LEAST_RISE}
    if not worse:
        return ""
    rises = [
        f"that of {name} ended {np.expm1(x):.0%} above the mean's"
        for name, x in worse.items()
    ]
    return f"; in exchange {' and '.join(rises)}"


def _by_geometry(measures: Measures, why: str, limits: Thresholds) -> tuple[str, str]:
    unequal = measures.norm_ratio > limits.norm_ratio
    few = len(measures.players) <= limits.few and measures.noise < limits.quiet
    if measures.alike:
        return NONE, f"{_capital(why)}; only a trial tells whether that matters."
    if few:
        reason = "few players, hardly any noise: gains are to be equal at every scale"
        return "nash_mtl", f"{_capital(why)}; {reason}."
    if measures.plain.harmed:
        return "upgrad", f"{_capital(why)}; no player is to be harmed."
    if unequal:
        return "grad_norm_balancing", f"{_capital(why)}: the mean follows the longest."
    return NONE, f"Though {why}, the mean harms nobody."


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _conflict(measures: Measures) -> str:
    found, pairs = measures.plain.opposed_pairs
    least = measures.plain.expected.min()
    return f"{found} of {pairs} pairs are opposed beyond noise (cosine {least:.2f})"


def _as(
    method: str, reason: str, measures: Measures, candidates: dict[str, Candidate]
) -> Recommendation:
    if method == NONE:
        return Recommendation(NONE, reason, code_of_mean(measures), "")
    chosen = candidates[method]
    factor = measures.trial[method].factor if measures.trial else 1.0
    code = code_of(chosen, factor, measures)
    return Recommendation(
        method, reason, code, cite(chosen.make(len(measures.players)))
    )
