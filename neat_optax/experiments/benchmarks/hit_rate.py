"""Whether the doctor is right: what it recommends, beside what benchmarks have found.

The doctor sees a study's `probe` only: losses, parameters at the start, a few batches.
No result of a benchmark enters what it says.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from neat_optax.advice import KNOWN
from neat_optax.advice._candidates import NONE
from neat_optax.experiments.benchmarks import comparing
from neat_optax.experiments.benchmarks.comparing import BETTER, WORSE
from neat_optax.experiments.benchmarks.study import Score, Study, Table

SYNONYMS = {"conflict-free": "config"}
"""What a candidate is called in studies besides its own name."""
LEAST_KNOWN = 4
HEAD = ("study", "best", "better than the control", "the doctor says", "verdict", "why")


class Judged(NamedTuple):
    """One recommendation beside what a study has found."""

    study: str
    best: str  # of the methods that are compared, and the control
    winners: tuple[str, ...]  # those that beat the control beyond noise
    said: str
    hit: bool
    why: str
    alone: bool  # a hit also where the best is taken for one that was named beforehand


def judge(
    name: str, outcome: Mapping[str, Any], said: str, known: Iterable[str] | None = None
) -> Judged:
    """Whether a recommendation was right.

    It is if it is "none" and no method beats the control beyond its interval, or if it
    names a method, one does, and it is not worse than the best beyond theirs. That
    interval is as wide as for all methods at once, since the best is one of them.

    Args:
      name: of the study.
      outcome: what is kept of it, as `carry_out` returns.
      said: the recommendation.
      known: what the doctor can recommend, if only that is compared; by default all
        methods of the study are.
    """
    score, control = Score(**outcome["score"]), outcome["controls"][0]
    rows = outcome["methods"]
    compared = list(rows) if known is None else map(_called(rows), known)
    allowed = [x for x in compared if x and x not in outcome["controls"]]
    means = {x: _number(rows[x]["mean"]) for x in (control, *allowed)}
    best = comparing.in_order(means, score)[0]
    winners = tuple(x for x in allowed if rows[x]["verdict"] == BETTER)
    if said == NONE:
        return Judged(name, best, winners, said, not winners, "", not winners)
    named = _called(rows)(said)
    if named is None:
        return Judged(name, best, winners, said, False, "not in the study", False)
    if not winners:
        why = "none beats the control"
        return Judged(name, best, winners, said, False, why, False)
    own, theirs = (_scores(rows[x]) for x in (named, best))
    beaten, beaten_alone = (
        named != best and comparing.one(own, theirs, score, count).verdict == WORSE
        for count in (len(allowed), 1)
    )
    why = "the best beats it" if beaten else ""
    return Judged(name, best, winners, said, not beaten, why, not beaten_alone)


def is_asked(study: Study, outcome: Mapping[str, Any] | None) -> bool:
    """Whether the doctor can be right about a study at all.

    It has a probe and an outcome, and compares at least so many of the aggregators that
    the doctor knows; parts of one method, or optimizers, are another question.
    """
    if study.probe is None or outcome is None:
        return False
    named = filter(None, map(_called(outcome["methods"]), KNOWN))
    return len(set(named) - set(outcome["controls"])) >= LEAST_KNOWN


def table(judged: Iterable[Judged]) -> Table:
    """Hits and misses, as a page shows them."""
    rows = list(judged)
    hits = sum(row.hit for row in rows)
    text = (
        f"{hits} of {len(rows)} recommendations are hits: a method that the best does "
        "not beat, seed by seed, where some method beats the control beyond noise; or "
        "none where none does. That interval is for all methods of the study at once; "
        f"with one for these two methods alone {sum(row.alone for row in rows)} are."
    )
    cells = tuple(
        (
            row.study,
            row.best,
            ", ".join(row.winners) or "none",
            row.said,
            "hit" if row.hit else "miss",
            row.why,
        )
        for row in rows
    )
    return Table("Is the doctor right?", text, HEAD, cells)


def _called(rows: Mapping[str, Any]) -> Callable[[str], str | None]:
    """From a candidate to its name in a study."""

    def called(name: str) -> str | None:
        dashed = name.replace("_", "-")
        return next((x for x in (dashed, SYNONYMS.get(dashed)) if x in rows), None)

    return called


def _scores(row: Mapping[str, Any]) -> list[float]:
    return [_number(x) for x in row["scores"]]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
