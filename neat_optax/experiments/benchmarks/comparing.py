"""From outcomes to what may be said: differences, their intervals, one sentence."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from neat_optax.experiments.benchmarks.study import Score
from neat_optax.experiments.reports.statistics import Interval, in_points, paired

BETTER, WORSE, OPEN = "better", "worse", "open"


class Comparison(NamedTuple):
    """A method against the control, seed by seed."""

    difference: Interval  # of all comparisons at once with 95 %; ratios if asked for
    verdict: str


def compare(
    scores: Mapping[str, Sequence[float]], control: str, score: Score
) -> dict[str, Comparison]:
    """Every other method against the control.

    Args:
      scores: of each method, by seed.
      control: one of them.
      score: what they are.
    """
    others = [name for name in scores if name != control]
    return {
        name: one(scores[name], scores[control], score, len(others)) for name in others
    }


def one(
    values: Sequence[float],
    control: Sequence[float],
    score: Score,
    comparisons: int = 1,
) -> Comparison:
    """One method against another, where so many comparisons are made at once.

    A value that is not finite is the worst there is: the interval is unknown, and the
    verdict that of the mean.
    """
    if not np.all(np.isfinite([*values, *control])):
        lost = not np.all(np.isfinite(values))
        unknown = Interval(math.nan, math.nan, math.nan)
        return Comparison(unknown, WORSE if lost else OPEN)
    read = _log if score.as_ratio else float
    own, theirs = [read(x) for x in values], [read(x) for x in control]
    found = paired(own, theirs, comparisons)
    sign = 1 if score.larger_is_better else -1
    low, high = sorted((sign * found.low, sign * found.high))
    least = score.least
    verdict = BETTER if low > least else WORSE if high < -least else OPEN
    if score.as_ratio:
        found = Interval(*map(math.exp, found))
    return Comparison(found, verdict)


def in_order(means: Mapping[str, float], score: Score) -> list[str]:
    """Names, the best first; what is not finite comes last."""
    sign = -1 if score.larger_is_better else 1
    return sorted(
        means,
        key=lambda name: sign * means[name] if math.isfinite(means[name]) else math.inf,
    )


def conclude(
    outcomes: Mapping[str, Mapping[str, Any]], controls: Sequence[str], score: Score
) -> str:
    """The sentence that says which method helps, or that none was found.

    Args:
      outcomes: of each method its `scores`, `mean` and `verdict`.
      controls: those that stand for doing nothing, the one of the verdicts first.
      score: what is compared.
    """
    first = controls[0]
    order = in_order({name: x["mean"] for name, x in outcomes.items()}, score)
    others = [name for name in order if name != first]
    ranked = [name for name in others if name not in controls] or others
    better = [name for name in ranked if outcomes[name]["verdict"] == BETTER]
    rivals = [name for name in controls[1:] if outcomes[name]["verdict"] == BETTER]
    lost = [name for name in order if outcomes[name]["verdict"] == WORSE]
    worse = f"; worse than {first}: {', '.join(lost)}" if lost else ""
    if better:
        said = _helping(better, rivals, outcomes, controls, score)
    else:
        one_only = f"{ranked[0]} does not beat"
        who = f"None of {len(ranked)} methods beats" if ranked[1:] else one_only
        but = f", but the control {_listed(rivals)} does" if rivals else ""
        said = f"{who} {first} beyond noise{but}"
    return f"{said}{worse}."


def _helping(
    better: Sequence[str],
    rivals: Sequence[str],
    outcomes: Mapping[str, Mapping[str, Any]],
    controls: Sequence[str],
    score: Score,
) -> str:
    """What is said of methods that are better, the best of them first."""
    best, *others = better
    equal = unbeaten(best, outcomes, controls, score)
    less = [name for name in rivals if name not in equal]
    parts = [f"{best} helps: {_figures(best, controls[0], outcomes, score)}"]
    for how, names in (("not beyond", equal), ("beyond", less)):
        if names:
            parts.append(f"{how} the control{'s' * (len(names) > 1)} {_listed(names)}")
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in others:
        found = unbeaten(name, outcomes, controls, score)
        groups.setdefault(tuple(found), []).append(name)
    return "; ".join([*parts, *(_so_do(*group) for group in groups.items())])


def unbeaten(
    name: str,
    outcomes: Mapping[str, Mapping[str, Any]],
    controls: Sequence[str],
    score: Score,
) -> list[str]:
    """The controls that end better than the first one, and that a method does not beat.

    Args:
      name: of the method that may beat them.
      outcomes: of each method its `scores` and `verdict`.
      controls: those that stand for doing nothing.
      score: what is compared.
    """
    own = _finite(outcomes[name]["scores"])
    means = _finite([outcomes[x]["mean"] for x in controls])
    order = in_order(dict(zip(controls, means, strict=True)), score)
    return [
        control
        for control in controls[1:]
        if order.index(control) < order.index(controls[0])
        and one(own, _finite(outcomes[control]["scores"]), score).verdict != BETTER
    ]


def _finite(scores: Sequence[float | None]) -> list[float]:
    """Scores in which a file has null for what is not finite."""
    return [math.nan if x is None else x for x in scores]


def _figures(
    name: str, control: str, outcomes: Mapping[str, Mapping[str, Any]], score: Score
) -> str:
    own, theirs = (_shown(outcomes[x]["mean"], score) for x in (name, control))
    return f"{score.name} {own} against {theirs} of {control}"


def _shown(mean: float, score: Score) -> str:
    return f"{mean:.3g}" if score.as_ratio else f"{100 * mean:.2f} %"


def _so_do(rivals: Sequence[str], names: Sequence[str]) -> str:
    does, are = ("do", "are") if len(names) > 1 else ("does", "is")
    but = f", which {are} not beyond {_listed(rivals)}" if rivals else ""
    return f"so {does} {', '.join(names)}{but}"


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def show_difference(difference: Interval, score: Score) -> str:
    """A difference with its interval, as tables show it."""
    if not math.isfinite(difference.mean):
        return "not finite"
    if score.as_ratio:
        return "x{:.3g} [{:.3g}, {:.3g}]".format(*difference)
    mean, low, high = (in_points(x) for x in difference)
    return f"{mean} [{low}, {high}]"


def _log(value: float) -> float:
    return math.log(max(value, 1e-300))
