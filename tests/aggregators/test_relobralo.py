import jax
import numpy as np
import pytest

import running
import stepping
from neat_optax.aggregators._relobralo import relobralo, relobralo_weights


def softmax(logits):
    powers = np.exp(logits - np.max(logits))
    return powers / np.sum(powers)


def oracle(history, temperature, decay, kept):
    """The authors' loop: `kept` says in which steps the average is not looked back."""
    lambdas, found = np.ones(history.shape[1]), []
    for t, losses in enumerate(history):
        alpha = {0: 1.0, 1: 0.0}.get(t, decay)
        rho = 1.0 if t < 2 else float(kept[t])
        last = history[t - 1] if t else np.ones_like(losses)
        newest = len(losses) * softmax(losses / (last * temperature))
        oldest = len(losses) * softmax(losses / (history[0] * temperature))
        lambdas = (
            rho * alpha * lambdas + (1 - rho) * alpha * oldest + (1 - alpha) * newest
        )
        found.append(lambdas)
    return np.array(found)


def weights_of(tx, history, present=None):
    """The weights of each step: the gradients are unit vectors."""
    count = history.shape[1]
    gradients = np.tile(np.eye(count, dtype=np.float32), (len(history), 1, 1))
    more = {} if present is None else {"present": present}
    return running.run(
        tx, gradients, np.zeros(count, np.float32), losses=history, move=False, **more
    )[0]


def draws(seed, count):
    """Uniform numbers of each step, as the state's key gives them."""
    key, found = jax.random.key(seed), []
    for _ in range(count):
        now, key = jax.random.split(key)
        found.append(float(jax.random.uniform(now)))
    return np.array(found)


def test_by_hand():
    losses, earlier = np.array([0.0, 2 * np.log(3)]), np.ones(2)
    weights = stepping.call(relobralo_weights, losses, earlier, 2.0)
    np.testing.assert_allclose(weights, [0.5, 1.5], rtol=1e-6)


def test_agrees_with_the_authors_loop():
    """At a `rho` at which some steps look back and some do not, and in any unit."""
    history = np.random.default_rng(0).uniform(0.1, 3.0, (12, 4)).astype(np.float32)
    kept = draws(5, 12) < 0.6
    assert 2 < kept[2:].sum() < 9
    expected = oracle(history.astype(float), 0.7, 0.8, kept)
    tx = relobralo(0.7, 0.8, 0.6, num_players=4, key=5)
    for unit in (1, 1e-15, 1e15):
        found = weights_of(tx, np.float32(unit) * history)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_what_is_remembered_of_an_absent_player_stays():
    tx = relobralo(decay=0.5, rho=1.0, num_players=2)
    losses = np.array([[1, 1], [1, 5], [2, 1], [2, np.nan], [2, 2]], np.float32)
    present = np.array([[1, 1], [1, 0], [1, 1], [1, 1], [1, 1]], bool)
    found = weights_of(tx, losses, present)
    np.testing.assert_allclose(found[1], [1.0, 0.0], rtol=1e-6)
    second = 2 * softmax(np.array([2.0, 1.0]))
    expected = [0.5 + 0.5 * second[0], second[1]]
    np.testing.assert_allclose(found[2], expected, rtol=1e-5)
    assert found[3][1] == 0
    last = 0.5 * second[1] + 0.5 * 2 * softmax(np.array([1.0, 2.0]))[1]
    np.testing.assert_allclose(found[4][1], last, rtol=1e-5)


def test_a_loss_of_zero_counts_as_unchanged():
    weights = stepping.call(relobralo_weights, np.array([3.0, 1.0]), np.array([0.0, 1]))
    np.testing.assert_allclose(weights, 1.0, rtol=1e-6)


def test_absent_players():
    stepping.check_absent_players(relobralo(num_players=3), losses=stepping.LOSSES)


def test_errors():
    with pytest.raises(ValueError, match=r"`temperature` must be in \(0, inf\), got 0"):
        relobralo(0.0, num_players=2)
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\], got 1\.5"):
        relobralo(decay=1.5, num_players=2)
    with pytest.raises(ValueError, match=r"`rho` must be in \[0, 1\], got -1"):
        relobralo(rho=-1, num_players=2)
    with pytest.raises(ValueError, match=r"`key` must be an integer >= 0, got -1"):
        relobralo(num_players=2, key=-1)
