import math

import numpy as np
import pytest
from scipy import stats

from neat_optax.experiments.benchmarks import comparing
from neat_optax.experiments.benchmarks.study import Score

ACCURACY = Score("accuracy", "accuracy", "validation")
ERROR = Score("error", "error", "validation", larger_is_better=False, as_ratio=True)
CONTROL = [0.80, 0.82, 0.81, 0.79, 0.83]
BETTER = [0.90, 0.93, 0.91, 0.88, 0.93]
SAME = [0.81, 0.80, 0.82, 0.80, 0.82]


def outcomes(score, **scores):
    found = comparing.compare(scores, "sum", score)
    return {
        name: {
            "scores": values,
            "mean": float(np.mean(values)),
            "verdict": found[name].verdict if name in found else None,
        }
        for name, values in scores.items()
    }


def test_intervals_hold_at_once():
    """Each of two comparisons is made at 1 - .05 / 2."""
    scores = {"sum": CONTROL, "a": BETTER, "b": SAME}
    found = comparing.compare(scores, "sum", ACCURACY)["a"].difference
    difference = np.subtract(BETTER, CONTROL)
    low, high = stats.t.interval(
        0.975, 4, difference.mean(), stats.sem(difference, ddof=1)
    )
    np.testing.assert_allclose(found, (difference.mean(), low, high))


@pytest.mark.parametrize(
    ("score", "values", "verdict"),
    [
        (ACCURACY, BETTER, "better"),
        (ACCURACY, SAME, "open"),
        (ACCURACY, [x - 0.1 for x in CONTROL], "worse"),
        (ERROR, BETTER, "worse"),
        (ERROR, [x / 2 for x in BETTER], "better"),
        (ACCURACY, [*BETTER[:4], math.nan], "worse"),
    ],
)
def test_the_verdict_is_that_of_the_interval(score, values, verdict):
    assert comparing.one(values, CONTROL, score).verdict == verdict


def test_what_is_too_small_to_matter_is_open():
    """All seeds gain the same hundredth, which no interval of theirs can doubt."""
    values = [x / 1.01 for x in CONTROL]
    assert comparing.one(values, CONTROL, ERROR).verdict == "better"
    assert comparing.one(values, CONTROL, ERROR._replace(least=0.05)).verdict == "open"


def test_ratios_are_geometric_means():
    values = [x * r for x, r in zip(CONTROL, (2, 3, 2.5, 2, 2), strict=True)]
    found = comparing.one(values, CONTROL, ERROR).difference
    assert found.mean == pytest.approx((2 * 3 * 2.5 * 2 * 2) ** (1 / 5))
    assert found.low > 1


def test_a_control_that_is_not_finite_says_nothing():
    found = comparing.one(BETTER, [*CONTROL[:4], math.inf], ACCURACY)
    assert found.verdict == "open"


def test_what_is_not_finite_is_last():
    means = {"a": math.nan, "b": 1.0, "c": 2.0}
    assert comparing.in_order(means, ACCURACY) == ["c", "b", "a"]
    assert comparing.in_order(means, ERROR) == ["b", "c", "a"]


def test_nothing_here_is_said():
    found = outcomes(ACCURACY, sum=CONTROL, a=SAME, b=[x - 0.1 for x in CONTROL])
    says = comparing.conclude(found, ["sum"], ACCURACY)
    assert says == "None of 2 methods beats sum beyond noise; worse than sum: b."


def test_a_control_that_alone_is_better_is_no_method():
    found = outcomes(ACCURACY, sum=CONTROL, a=SAME, b=SAME, single=BETTER)
    says = comparing.conclude(found, ["sum", "single"], ACCURACY)
    beyond = "None of 2 methods beats sum beyond noise"
    assert says == f"{beyond}, but the control single does."


def test_one_method_is_called_by_its_name():
    found = outcomes(ACCURACY, sum=CONTROL, a=SAME)
    says = comparing.conclude(found, ["sum", "a"], ACCURACY)
    assert says == "a does not beat sum beyond noise."


def test_the_best_is_named_with_its_figures():
    found = outcomes(ACCURACY, sum=CONTROL, a=BETTER, b=[x + 0.05 for x in CONTROL])
    says = comparing.conclude(found, ["sum"], ACCURACY)
    assert says == "a helps: accuracy 91.00 % against 81.00 % of sum; so does b."


@pytest.mark.parametrize(
    ("gain", "word"),
    [
        (0.0995, "; not beyond the control random"),
        (0.05, "; beyond the control random"),
    ],
)
def test_a_control_that_helps_as_well_is_named(gain, word):
    """Random weights that gain as much take the credit away."""
    random = [x + gain for x in CONTROL]
    found = outcomes(ACCURACY, sum=CONTROL, a=BETTER, random=random)
    says = comparing.conclude(found, ["sum", "random"], ACCURACY)
    assert says.startswith("a helps")
    assert word in says


def test_controls_that_gain_as_much_are_named_for_each_method():
    random = [x + 0.0995 for x in CONTROL]
    lost = [*BETTER[:-1], None]
    found = outcomes(ACCURACY, sum=CONTROL, a=BETTER, random=random, uneven=BETTER)
    found["uneven"]["scores"] = lost
    names = ["sum", "random"]
    assert comparing.unbeaten("a", found, names, ACCURACY) == ["random"]
    assert comparing.unbeaten("uneven", found, names, ACCURACY) == ["random"]
    found["random"]["scores"] = [x + 0.05 for x in CONTROL]
    assert comparing.unbeaten("a", found, names, ACCURACY) == []
    found["random"]["verdict"] = comparing.OPEN
    assert comparing.unbeaten("uneven", found, names, ACCURACY) == ["random"]
    found["random"]["mean"] = 0.1
    assert comparing.unbeaten("uneven", found, names, ACCURACY) == []


def test_each_method_that_is_better_has_the_controls_that_it_does_not_beat():
    own = [x + 0.05 for x in CONTROL]
    found = outcomes(ACCURACY, sum=CONTROL, a=BETTER, b=own, own=own)
    says = comparing.conclude(found, ["sum", "own"], ACCURACY)
    assert says.endswith(
        "; beyond the control own; so does b, which is not beyond own."
    )


def test_differences_are_shown_in_points_or_ratios():
    difference = comparing.Interval(0.5, 0.25, 1.0)
    assert comparing.show_difference(difference, ERROR) == "x0.5 [0.25, 1]"
    shown = comparing.show_difference(difference, ACCURACY)
    assert shown == "+50.00 [+25.00, +100.00]"
    unknown = comparing.Interval(math.nan, math.nan, math.nan)
    assert comparing.show_difference(unknown, ERROR) == "not finite"
