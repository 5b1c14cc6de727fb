"""From measures to decisions: the same for one scope and for many."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neat_optax as neo
from neat_optax.conflict import _decide
from neat_optax.conflict._alignment import Alignment
from neat_optax.conflict._passes import Measured, MeasuredHistory
from properties import assert_same_types, assert_trees_close

RULES = neo.neat_rules(1.0, correction_range=(1.0, 3.0))
STEP = np.asarray(3, np.int32)


def measured(gg, go, oo, size=1.0, metric=None, history=None):
    raw = Alignment(*map(np.float32, (gg, go, oo)))
    return Measured(np.float32(size), raw, metric, history)


def blank_state():
    return RULES.init(_decide.open_contest(measured(0, 0, 0), STEP))


def test_an_open_contest_has_decided_nothing():
    contest = _decide.open_contest(measured(1, 2, 4, 5), STEP)
    assert (contest.step, contest.size, contest.strength) == (3, 5.0, 1.0)
    assert contest.conflict is contest.noise is contest.steadiness is None
    assert not any((contest.alpha, contest.on_gradient, contest.on_opponent))
    assert contest.alignment == contest.raw


def test_conflict_is_judged_in_the_metric_and_bounds_are_plain():
    metric = Alignment(*map(np.float32, (1, -1, 1)))
    contest = _decide.open_contest(measured(1, 2, 4, metric=metric), STEP)
    assert (contest.alignment.go, contest.raw.go) == (-1.0, 2.0)


@pytest.mark.parametrize(
    ("gap", "gg", "ema", "noise"),
    [(4.0, 9.0, 1.0, 2 / (3 + 1)), (0.0, 0.0, 0.0, 0.0), (np.inf, np.inf, 1.0, 0.0)],
)
def test_noise_by_hand(gap, gg, ema, noise):
    previous = Alignment(*map(np.float32, (1, 1, 4)))
    history = MeasuredHistory(np.float32(gap), np.float32(ema), previous)
    contest = _decide.open_contest(measured(gg, 0, 0, history=history), STEP)
    np.testing.assert_allclose(contest.noise, noise, rtol=1e-6)
    np.testing.assert_allclose(contest.steadiness, 0.5, rtol=1e-6)


@jax.jit
def decide(measures, state):
    return _decide.decide(RULES, measures, state, STEP)


@jax.jit
@functools.partial(jax.vmap, in_axes=(0, 0, None))
def decide_block(measures, state, step):
    return _decide.decide(RULES, measures, state, step)


def test_deciding_by_hand():
    """Conflict 1, average .1, ratio 1/2: clip(1 + 1/2 + 1) = 2.5, bounded by 1."""
    decided, state = decide(measured(1, -1, 1), blank_state())
    np.testing.assert_allclose(decided.on_opponent, 1.0, rtol=1e-6)
    assert any(np.isclose(x, 0.1) for x in jax.tree.leaves(state))


def test_a_state_keeps_its_dtypes():
    low = jax.tree.map(lambda x: np.asarray(x, jnp.bfloat16), blank_state())
    _, state = jax.eval_shape(decide, measured(1, -1, 1), low)
    assert_same_types(state, low)


@pytest.mark.parametrize("count", [1, _decide.BLOCK, _decide.BLOCK + 1, 19])
def test_blocks_decide_as_one_by_one(count):
    """Every scope meets its own measures and its own state."""
    rng = np.random.default_rng(count)
    cosines, habits = rng.uniform(-1, 1, count), rng.uniform(0, 1, count)
    each = [measured(1.0, cosine, 1.0) for cosine in cosines]
    states = jax.tree.map(lambda x: x + np.asarray(habits, x.dtype), blank_state())
    decided, after = _decide.decide_each(decide_block, each, states, STEP)
    assert len(decided) == count
    for i in range(count):
        own = jax.tree.map(lambda x, i=i: np.asarray(x)[i], states)
        one, state = decide(each[i], own)
        assert_trees_close(decided[i]._replace(step=STEP), one, rtol=1e-5)
        mine = jax.tree.map(lambda x, i=i: np.asarray(x)[i], after)
        assert_trees_close(mine, state, rtol=1e-5)


def test_nothing_to_decide():
    assert _decide.decide_each(None, [], {"a": 1}, STEP) == ([], {"a": 1})
