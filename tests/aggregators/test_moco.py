import jax
import numpy as np
import pytest

import stepping
from neat_optax.aggregators._moco import moco, moco_weights
from oracle import quadratic
from stepping import EVERYONE, gradients, replace

TX = moco(num_players=3)


def as_matrix(tree):
    return np.concatenate(
        [np.asarray(leaf, float).reshape(3, -1) for leaf in jax.tree.leaves(tree)], 1
    )


def test_weights_by_hand():
    # slopes 0.5 and 1.5, so 1/4 and -1/4, which are 1/2 apart and sum to 1 at 3/4, 1/4
    weights = stepping.call(moco_weights, np.diag([1.0, 3.0]), np.full(2, 0.5), 0.5)
    np.testing.assert_allclose(weights, [0.75, 0.25], rtol=1e-6)
    before = np.array([0.75, 0.25])
    pulled = stepping.call(moco_weights, np.zeros((2, 2)), before, 1.0, 0.5)
    np.testing.assert_allclose(pulled, [0.625, 0.375], rtol=1e-6)


def test_run_agrees_with_the_formulas():
    tx = moco(rate=0.8, rate_decay=0.3, step_size=0.05, decay=0.2, num_players=3)
    state = stepping.start(tx, gradients())
    tracked, weights = 0.0, np.full(3, 1 / 3)
    for t in range(5):
        g = gradients(t)
        update, state = stepping.step(tx, g, state)
        tracked = tracked + 0.8 / (t + 1) ** 0.3 * (as_matrix(g) - tracked)
        slope = tracked @ (tracked.T @ weights) + 0.2 * weights
        weights = quadratic.project_on_simplex(weights - 0.05 * slope)
        flat = np.concatenate([np.ravel(u) for u in jax.tree.leaves(update)])
        np.testing.assert_allclose(flat, weights @ tracked, rtol=1e-4, atol=1e-6)


def test_absent_players():
    stepping.check_absent_players(TX)


def test_constant_gradients_lead_to_the_shortest_combination():
    players = np.broadcast_to(np.diag([2.0, 1.0]), (200, 2, 2))
    updates, _ = stepping.play(moco(step_size=0.05, num_players=2), players)
    np.testing.assert_allclose(updates[-1], [0.4, 0.8], rtol=1e-3)


def test_any_length_of_gradients_stays_on_the_simplex():
    for scale in (1e-30, 1e-12, 1e12, 1e30):
        g = jax.tree.map(lambda x, s=scale: x * s, gradients(0))
        _, state = stepping.play(TX, [g, g], present=[EVERYONE] * 2)
        weights = state[1].weighting[0]
        assert np.all(weights >= 0)
        np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-5)


def test_absent_players_keep_their_weight_and_their_average():
    _, before = stepping.step(TX, gradients(0), present=EVERYONE)
    broken = replace(gradients(1), 2, np.nan)
    _, after = stepping.step(TX, broken, before, present=EVERYONE)
    assert before[1].weighting[0, 2] == after[1].weighting[0, 2]
    np.testing.assert_array_equal(before[0].tracked["w"][2], after[0].tracked["w"][2])
    assert int(after[0].step[2]) == 1 and int(after[0].step[0]) == 2


def test_schedules_start_at_step_zero():
    tx = moco(step_size=lambda t: 0.1 * t, decay=lambda t: 0.0 * t, num_players=3)
    update, _ = stepping.step(tx, gradients(0))
    mean = np.mean(gradients(0)["w"], axis=0)
    np.testing.assert_allclose(update["w"], 0.5 * mean, rtol=1e-5, atol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\], got 1.5\."):
        moco(rate=1.5, num_players=2)
    with pytest.raises(ValueError, match=r"`rate_decay` must be in \[0, inf\), got -1"):
        moco(rate_decay=-1.0, num_players=2)
    with pytest.raises(ValueError, match=r"`step_size` must be in \[0, inf\), got -1"):
        moco(step_size=-1.0, num_players=2)
    with pytest.raises(ValueError, match=r"must have 2 players, as `num_players` says"):
        stepping.step(moco(num_players=2), gradients(0))
