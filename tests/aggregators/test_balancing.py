import numpy as np
import pytest

import stepping
from neat_optax.aggregators import balancing_weights, grad_norm_balancing, ntk

NORMS = grad_norm_balancing(0.75, 2, num_players=3)
TRACES = ntk(0.75, 2, num_players=3)
AT_ONCE = grad_norm_balancing(0.0, 1, num_players=3)
J = np.array([[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]])
"""Lengths 5, 1 and 2."""


def test_by_hand():
    sizes = np.array([5.0, 1.0, 2.0])
    weights = stepping.call(balancing_weights, sizes)
    np.testing.assert_allclose(weights, [1.6, 8.0, 4.0], rtol=1e-6)
    mean = balancing_weights(sizes[1:], "mean", np.array([True, False]))
    np.testing.assert_allclose(mean, [1.0, 0.0], rtol=1e-6)


def averaged(sizes, steps):
    """As the authors' code writes it, from the second step on."""
    weights, found = np.ones(3), []
    for step in range(steps):
        if step % 2 == 0:
            weights = weights * 0.75 + (1 - 0.75) * (np.sum(sizes[step]) / sizes[step])
        found.append(weights)
    return found


def test_norms_are_averaged_in_every_second_step():
    factors = np.array([[1, 1, 1], [9, 9, 9], [1, 4, 0.5], [1, 1, 9]], float)
    stacks = factors[:, :, None] * J
    updates, state = stepping.play(NORMS, stacks)
    lengths = np.linalg.norm(stacks, axis=2)
    wanted = averaged(lengths, 4)
    for update, weights, j in zip(updates, wanted, stacks, strict=True):
        np.testing.assert_allclose(update, weights @ j, rtol=1e-5)
    np.testing.assert_allclose(state.weighting[0], wanted[-1], rtol=1e-5)
    traces = lengths**2
    updates, _ = stepping.play(TRACES, stacks, traces=traces)
    np.testing.assert_allclose(updates[3], averaged(traces, 4)[3] @ stacks[3], 1e-5)


@pytest.mark.parametrize("unit", [1e-25, 1.0, 1e25])
def test_gradients_become_equally_long(unit):
    update, state = stepping.step(AT_ONCE, J * unit)
    weights = state.weighting[0]
    np.testing.assert_allclose(weights, [1.6, 8.0, 4.0], rtol=1e-5)
    np.testing.assert_allclose(update / unit, weights @ J, rtol=1e-5)


def test_players_without_a_size_keep_their_weights():
    _, state = stepping.step(AT_ONCE, J)
    before = state.weighting[0]
    update, state = stepping.step(AT_ONCE, J * [[0.0], [1.0], [np.nan]], state)
    np.testing.assert_allclose(state.weighting[0], [before[0], 1.0, before[2]])
    np.testing.assert_allclose(update, J[1])
    traces = np.array([0.0, np.inf, 2.0])
    update, state = stepping.step(TRACES, np.eye(3), traces=traces)
    np.testing.assert_allclose(update, 1.0)


@pytest.mark.slow
def test_absent_players():
    stepping.check_absent_players(NORMS)
    stepping.check_absent_players(TRACES, traces=stepping.LOSSES)


def test_errors():
    with pytest.raises(
        ValueError, match="`traces` must be passed to update for ntk, g"
    ):
        stepping.step(TRACES, J)
    with pytest.raises(ValueError, match="`every` must be an integer >= 1, got 0"):
        ntk(every=0, num_players=2)
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\), got 1.0"):
        grad_norm_balancing(1.0, num_players=2)
    with pytest.raises(
        ValueError, match="`reduction` must be one of sum, mean, got su"
    ):
        grad_norm_balancing(reduction="su", num_players=2)
