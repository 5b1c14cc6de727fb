import itertools

import numpy as np
import pytest

import stepping
from neat_optax.aggregators._go4align import go4align, go4align_weights

COUNT = 6


def weigh(losses, logits, groups):
    def rule(losses, logits):
        return go4align_weights(losses, logits, groups)

    return stepping.call(_RULES.setdefault(groups, rule), losses, logits)


_RULES = {}


def indicators(losses, logits):
    """The authors' formula."""
    shares = np.exp(logits - np.max(logits))
    return np.sum(losses) / losses * shares / np.sum(shares)


def best_groups(values, count):
    """The means of the best of all partitions."""
    best, found = np.inf, None
    for labels in itertools.product(range(count), repeat=len(values)):
        means = {k: np.mean(values[np.array(labels) == k]) for k in set(labels)}
        answer = np.array([means[k] for k in labels])
        error = np.sum((values - answer) ** 2)
        if error < best - 1e-12:
            best, found = error, answer
    return found


def test_by_hand():
    found = weigh(np.array([1.0, 1.0, 4.0]), np.zeros(3), 2)
    np.testing.assert_allclose(found, [2.0, 2.0, 0.5], rtol=1e-6)
    found = weigh(np.array([1.0, 1.0, 4.0]), np.zeros(3), 1)
    np.testing.assert_allclose(found, 1.5, rtol=1e-6)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_groups_are_the_best_of_all(groups):
    rng = np.random.default_rng(groups)
    for unit in (1.0, 1e-15, 1e15):
        losses, logits = rng.uniform(0.1, 3, COUNT), rng.normal(size=COUNT)
        expected = best_groups(indicators(losses, logits), groups)
        np.testing.assert_allclose(weigh(unit * losses, logits, groups), expected, 1e-4)


def test_more_groups_than_values():
    losses = np.array([1.0, 1.0, 2.0])
    np.testing.assert_allclose(
        weigh(losses, np.zeros(3), 5), indicators(losses, np.zeros(3)), rtol=1e-6
    )


def test_a_run_follows_the_authors_loop():
    rng = np.random.default_rng(0)
    history = rng.uniform(0.1, 3.0, size=(4, 3))
    tx = go4align(step_size=0.5, num_players=3)
    updates, _ = stepping.play(tx, [np.eye(3)] * 4, losses=history)
    shares = np.ones(3) / 3
    for losses, update in zip(history, updates, strict=True):
        shares = shares * np.exp(-0.5 * losses)
        shares = shares / np.sum(shares)
        expected = best_groups(np.sum(losses) / losses * shares, 2)
        np.testing.assert_allclose(update, expected, rtol=1e-4)


def test_losses_that_are_not_positive_are_left_out():
    tx = go4align(step_size=0.5, num_players=3)
    g = [np.eye(3)] * 2
    losses = np.array([[1.0, 0.0, np.nan], [1.0, 1.0, 2.0]])
    updates, state = stepping.play(tx, g, losses=losses)
    np.testing.assert_allclose(updates[0], [1.0, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(state.weighting[0], [-0.5, 0.0, -0.5], rtol=1e-6)


def test_absent_players():
    stepping.check_absent_players(go4align(num_players=3), losses=stepping.LOSSES)


def test_errors():
    with pytest.raises(
        ValueError, match=r"`num_groups` must be an integer >= 1, got 0"
    ):
        go4align(0, num_players=2)
    with pytest.raises(ValueError, match=r"`step_size` must be in \[0, inf\), got -1"):
        go4align(step_size=-1.0, num_players=2)
