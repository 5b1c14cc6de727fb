"""Conflict, and the rule that detects it."""

import numpy as np
import pytest
from hypothesis import given

import neat_optax as neo
import samplers
from conflict.test_alignment import align, make_contest
from neat_optax.conflict._detect import conflict


def detect(gradient, opponent, threshold=0.0):
    rule = neo.detect_conflict(threshold)
    contest = make_contest(gradient, opponent)
    return rule.update(contest, rule.init(contest))[0]


@pytest.mark.parametrize(
    ("gradient", "opponent", "expected"),
    [
        ([1.0, 0.0], [-1.0, 0.0], 1.0),
        ([1.0, 0.0], [1.0, 0.0], 0.0),
        ([1.0, 0.0], [0.0, 1.0], 0.0),
        ([3.0, 4.0], [-2.0, 0.0], 0.6),
        ([0.0, 0.0], [-1.0, 0.0], 0.0),
    ],
)
def test_by_hand(gradient, opponent, expected):
    np.testing.assert_allclose(conflict(align(gradient, opponent)), expected, rtol=1e-6)
    np.testing.assert_allclose(detect(gradient, opponent).conflict, expected, rtol=1e-6)


def test_below_the_threshold_there_is_none():
    assert detect([3.0, 4.0], [-2.0, 0.0], 0.61).conflict == 0.0
    assert detect([3.0, 4.0], [-2.0, 0.0], 0.59).conflict > 0.59


@given(samplers.pairs())
def test_a_threshold_of_one_lets_exact_opposition_pass(pair):
    gradient, _ = pair
    assert detect(gradient, -3 * gradient, 1.0).conflict > 0.999


@given(samplers.pairs())
def test_conflict_is_symmetric_and_in_range(pair):
    gradient, opponent = pair
    value = detect(gradient, opponent).conflict
    assert 0.0 <= value <= 1.0
    np.testing.assert_allclose(value, detect(opponent, gradient).conflict, rtol=1e-5)


def test_a_scheduled_threshold():
    rule = neo.detect_conflict(lambda step: 0.7 - 0.2 * step)
    contest = make_contest([3.0, 4.0], [-2.0, 0.0])
    found = [
        rule.update(contest._replace(step=np.int32(t)), rule.init(contest))[0].conflict
        for t in range(2)
    ]
    assert found[0] == 0.0 < found[1]


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_bad_thresholds(threshold):
    with pytest.raises(ValueError, match=r"^`threshold` must be in \[0, 1\], got "):
        neo.detect_conflict(threshold)
