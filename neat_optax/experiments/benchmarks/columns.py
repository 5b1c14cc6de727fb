"""What the columns of a study's table say, for a reader who begins there."""

from collections.abc import Mapping
from typing import Any

from neat_optax.experiments.benchmarks.study import Score

MEANING = {
    "conflicting pairs": "share of pairs of players with a negative inner product",
    "worst cosine": "the smallest cosine of two players' gradients",
    "worst cosine where it acts": (
        "the same in the coordinates in which the aggregator sees them: inside a "
        "preconditioner, in its metric; else as they are"
    ),
    "turn from the mean": (
        "distance of the update's direction from that of the mean of the players: 0 "
        "the same, 1.41 at right angles, 2 opposed"
    ),
    "cosine of right and wrong labels' gradients": (
        "at the end, of the two mean gradients on validation examples"
    ),
    "accuracy": (
        "on validation data, the share of right answers; of a regression, that of the "
        "variance that is explained"
    ),
    "conflict": "share of steps in which the two gradients have a negative product",
    "conflict rate": "share of gradients with a negative product with their own past",
    "depth of conflict": "mean of minus that cosine, 0 where it is positive",
    "correction": "length of what NEAT adds over the gradient's; 0 without NEAT",
    "late": "accuracy in the last tenth of the stream less that in the first",
    "dormant": (
        "share of units whose mean activation is below a fortieth of their layer's"
    ),
    "effective rank": "of a layer's features, the exponential of their entropy",
    "weights": "norm of all weights",
    "gradient": "norm of the gradient of one batch",
    "fitness over the search": "mean over the generations; the larger the better",
    "sparsity": "share of zeros among the weights, the mean over the training",
    "time": "of a step, as a multiple of the control's",
    "memory": "of temporaries and results of a step, likewise",
}
"""Of the measures, by their heading. Means over the run and the seeds."""


def legend(studies: Mapping[str, Any]) -> str:
    """A list of the columns that occur in some of a benchmark's tables.

    Args:
      studies: of the benchmark, by name.
    """
    scores = [Score(**study["score"]) for study in studies.values()]
    lines = [
        "`rate`: the learning rate that validation chose among those tried",
        *dict.fromkeys(map(_of_score, scores)),
        *dict.fromkeys(map(_of_difference, scores)),
        "`verdict`: better or worse where that whole interval is, open elsewhere",
    ]
    shown = {heading for study in studies.values() for heading in study["shown"]}
    rows = [row for study in studies.values() for row in study["methods"].values()]
    if any(row["cost"] for row in rows):
        shown |= {"time", "memory"}
    named = [f"`{name}`: {said}" for name, said in MEANING.items() if name in shown]
    listed = "\n".join(f"- {line}" for line in [*lines, *named])
    means = "Measures are means over the run and the seeds." if shown else ""
    controls = f"Controls are in italics. {means}".strip()
    return f"## What the columns say\n\n{listed}\n\n{controls}\n"


def _of_score(score: Score) -> str:
    unit = "" if score.as_ratio else ", in percent"
    order = "higher" if score.larger_is_better else "lower"
    bounds = "[from, to]" if score.as_ratio else "±"
    return (
        f"`{heading(score)}`: on test data{unit}, {order} is better; mean over the "
        f"seeds, and {bounds} its own interval of 95 %"
    )


def _of_difference(score: Score) -> str:
    if score.as_ratio:
        what = "ratio to the control (x0.5: half of it), geometric mean over the seeds"
    else:
        what = "the score less the control's, in points of percent, mean over the seeds"
    return (
        f"`difference`: {what}; [from, to] is its interval of 95 %, for all methods of "
        "the study at once"
    )


def heading(score: Score) -> str:
    """The name of a score, with its unit."""
    return score.name if score.as_ratio else f"{score.name}, %"
