import math

import numpy as np

from neat_optax.experiments.reports.statistics import (
    Interval,
    about_seeds,
    in_points,
    interval,
    paired,
    verdict,
)

DID = "changes the gradient by 0.2 % on average"


def test_interval_is_students():
    mean, low, high = interval([1.0, 2.0, 3.0])
    reach = 4.302652729911275 * 1.0 / math.sqrt(3)  # t(0.975, 2), deviation 1
    np.testing.assert_allclose([mean, low, high], [2.0, 2.0 - reach, 2.0 + reach])


def test_one_value_has_no_interval():
    assert math.isnan(interval([0.5]).low)


def test_paired_uses_the_differences():
    difference = paired([0.5, 0.7, 0.9], [0.4, 0.6, 0.8])
    np.testing.assert_allclose(difference, [0.1, 0.1, 0.1])


def test_verdict_says_which_side_of_the_noise():
    inside = verdict("neat", DID, "control", Interval(0.01, -0.01, 0.03))
    above = verdict("neat", DID, "control", Interval(0.02, 0.01, 0.03))
    below = verdict("neat", DID, "control", Interval(-0.02, -0.03, -0.01))
    assert "is not larger than its noise" in inside
    assert "is larger than its noise" in above
    assert "is larger than its noise" in below
    assert "-2.00 points" in below
    assert inside.startswith(f"neat {DID}; its difference to control, ")


def test_verdict_of_one_seed_claims_nothing():
    nan = float("nan")
    said = verdict("neat", DID, "control", Interval(0.1, nan, nan))
    assert "one seed says nothing" in said


def test_verdict_says_when_every_seed_ends_the_same():
    said = verdict("sgd", DID, "control", Interval(0.0, 0.0, 0.0))
    assert said == f"sgd {DID}; for every seed it ends as accurate as control."


def test_points_of_nothing_have_no_minus():
    assert in_points(-1e-9) == "+0.00"
    assert in_points(-0.0123) == "-1.23"
    assert in_points(0.05, 1) == "+5.0"


def test_differences_that_are_all_equal_say_nothing_about_noise():
    rounded = paired([0.3, 0.6], [0.1, 0.4])  # 0.2 but for the last bits
    assert "every seed" in verdict("a", "does", "b", rounded)
    sentence = verdict("a", "does", "b", Interval(-0.05, -0.05, -0.05))
    assert "-5.00 points, the same for every seed, so that these seeds do" in sentence


def test_two_seeds_are_said_to_be_few():
    assert "12.7 standard errors" in about_seeds(2)
    low, high = interval([0.0, 2.0])[1:]
    np.testing.assert_allclose((high - low) / 2, 12.7, rtol=1e-3)  # standard error 1
    assert about_seeds(1) == about_seeds(3) == ""
