"""Gates: whether a correction counts."""

import numpy as np
import pytest

import neat_optax as neo
from conflict.test_alignment import make_contest

OPPOSED = make_contest([1.0, 0.0], [-1.0, 0.0], on_opponent=np.float32(0.5))


def gated(rule, **fields):
    contest = OPPOSED._replace(**fields)
    return float(rule.update(contest, rule.init(contest))[0].on_opponent)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (1, 0.0), (2, 0.5), (3, 0.5)])
def test_warmup(step, expected):
    assert gated(neo.gate_by_warmup(2), step=np.int32(step)) == expected


def test_no_warmup():
    assert gated(neo.gate_by_warmup(0)) == 0.5


@pytest.mark.parametrize(
    ("conflict", "expected"), [(0.0, 0.0), (0.29, 0.0), (0.3, 0.5), (1.0, 0.5)]
)
def test_threshold(conflict, expected):
    assert gated(neo.gate_by_conflict(0.3), conflict=np.float32(conflict)) == expected


def test_a_threshold_of_one_lets_exact_opposition_pass():
    rounded = np.float32(np.nextafter(np.float32(1), np.float32(0)))
    assert gated(neo.gate_by_conflict(1.0), conflict=rounded) == 0.5


def test_both_coefficients_are_gated():
    contest = OPPOSED._replace(on_gradient=np.float32(0.25))
    rule = neo.gate_by_warmup(1)
    closed, _ = rule.update(contest, rule.init(contest))
    assert (closed.on_gradient, closed.on_opponent) == (0.0, 0.0)


def test_bad_arguments():
    with pytest.raises(
        ValueError, match=r"^`steps` must be an integer >= 0, got -1\.$"
    ):
        neo.gate_by_warmup(-1)
    with pytest.raises(ValueError, match=r"^`threshold` must be in \[0, 1\], got 2\.$"):
        neo.gate_by_conflict(2)
