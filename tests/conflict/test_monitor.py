"""The rule and the wrapper that record measures."""

import jax
import numpy as np
import optax

import neat_optax as neo
import properties
import running
from conflict.test_alignment import make_contest


def test_the_contest_is_returned_unchanged():
    contest = make_contest([3.0, 4.0], [-2.0, 0.0], on_opponent=np.float32(0.5))
    rule = neo.monitor_correction()
    after, state = rule.update(contest, rule.init(contest))
    assert after is contest
    np.testing.assert_allclose(state.latest.correction_ratio, 0.2, rtol=1e-6)
    np.testing.assert_allclose(state.latest.opponent_norm, 2.0, rtol=1e-6)
    assert (state.latest.active, state.latest.skipped) == (1.0, 0.0)
    assert state.size == 2.0


def test_an_idle_correction_is_not_active():
    contest = make_contest([3.0, 4.0], [-2.0, 0.0])
    rule = neo.monitor_correction()
    latest = rule.update(contest, rule.init(contest))[1].latest
    assert (latest.active, latest.correction_ratio) == (0.0, 0.0)


def test_measuring_changes_no_update():
    params, gradients = np.float32([1.0, -1.0]), np.float32([[0.5, 2.0]])
    plain = optax.adam(0.1)
    for tx in (plain, neo.monitor_update(plain)):
        updates, _, _ = running.run(tx, gradients, params)
        np.testing.assert_allclose(updates, [[-0.1, -0.1]], rtol=1e-5)


def test_the_wrapper_reads_the_applied_step():
    """Heavy ball: g = 1, then -1 against a momentum of .9: the step ascends."""
    tx = neo.monitor_update(optax.sgd(0.1, momentum=0.9))
    params = {"x": np.zeros(1, np.float32), "y": np.zeros(2, np.float32)}
    signs = np.float32([[1.0], [-0.5]])
    _, _, state = running.run(tx, {"x": signs, "y": np.tile(signs, 2)}, params)
    recorded = state.recorded
    np.testing.assert_allclose(recorded.latest.update_alignment, [-1, -1], rtol=1e-6)
    np.testing.assert_allclose(recorded.mean.update_alignment, [0, 0], atol=1e-6)
    np.testing.assert_array_equal(recorded.size, [1, 2])


def test_off_costs_nothing():
    """Without `monitor` the state holds what it needs and no more."""
    params = {"x": np.zeros(3, np.float32), "y": np.zeros((2, 2), np.float32)}
    plain = jax.tree.leaves(jax.eval_shape(neo.neat(0.1).init, params))
    assert [x.shape for x in plain] == [(), (3,), (2, 2)]
    measuring = jax.jit(neo.neat(0.1, monitor=True).init)(params)
    assert len(jax.tree.leaves(measuring)) > len(plain)
    properties.assert_finite(measuring)
