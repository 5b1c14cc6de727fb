import numpy as np
import pytest

import stepping
from neat_optax.aggregators import pike, pike_weights

TX = pike(0.5, 2.0, 2, num_players=3, preference=(1.0, 2.0, 1.0))


def exponentiated(weights, first, second, zeta1, zeta2):
    """The paper's step, from the gradients of two batches."""
    squares = np.sum(first * second, axis=1)
    noise = np.sum(first * (first - second), axis=1)  # of a batch: sigma^2 / (b / P)
    grown = weights * np.exp(zeta1 * squares - zeta2 / 2 * noise / len(first))
    return grown / grown.sum()


def test_by_hand():
    given = np.array([0.5, 0.25, 0.25]), np.log([1.0, 2.0, 9.0]), np.log([1.0, 1.0, 81])
    found = stepping.call(pike_weights, *given, 1.0, 1.0)
    np.testing.assert_allclose(found, [0.4, 0.4, 0.2], rtol=1e-6)
    present = np.array([True, False, True])
    alone = pike_weights(*given, 0.0, 0.0, present)
    np.testing.assert_allclose(alone, [2 / 3, 0, 1 / 3], rtol=1e-6)


def test_agrees_with_numpy():
    """The weights move before the first and the third step."""
    rng = np.random.default_rng(0)
    first, noise = rng.normal(size=(2, 3, 3, 5))
    second = first + 0.5 * noise
    updates, _ = stepping.play(TX, first, second_batch=second)
    weights = np.array([0.25, 0.5, 0.25])
    for step in range(3):
        if step % 2 == 0:
            weights = exponentiated(weights, first[step], second[step], 0.5, 2.0)
        np.testing.assert_allclose(updates[step], weights @ first[step], atol=1e-5)


def test_estimates_are_without_bias():
    """Means over many pairs of batches of 4 examples each, for two players."""
    rng = np.random.default_rng(1)
    means, spread = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([1.0, 0.5])
    first, second = means + spread[:, None] * rng.normal(size=(2, 20000, 4, 2, 2)).mean(
        axis=2
    )
    squares = np.sum(first * second, axis=2).mean(axis=0)
    noise = np.sum(first * (first - second), axis=2).mean(axis=0)
    np.testing.assert_allclose(squares, [1.0, 4.0], rtol=0.05)
    per_example = 2 * spread**2  # in two dimensions
    np.testing.assert_allclose(noise / 2, per_example / (2 * 4), rtol=0.05)


def test_very_long_gradients_and_one_without():
    j = np.array([[1e25, 0.0], [0.0, 1e10], [0.0, 0.0]])
    update, state = stepping.step(TX, j)
    np.testing.assert_allclose(update, [1e25, 0.0], rtol=1e-6)
    assert np.all(np.isfinite(state.weighting))


def test_an_absent_player_keeps_its_ratio():
    j = np.eye(3)
    present = np.array([True, False, True])
    _, state = stepping.step(TX, j, present=present)
    logits = state.weighting[0]
    np.testing.assert_allclose(logits[1] - logits[0], np.log(2) - 0.5, rtol=1e-5)


@pytest.mark.slow
def test_absent_players():
    stepping.check_absent_players(pike(0.1, 0.1, num_players=3))


def test_errors():
    with pytest.raises(ValueError, match=r"`zeta1` must be in \[0, inf\), got -1.0"):
        pike(-1.0, 0.0, num_players=2)
    with pytest.raises(ValueError, match="`every` must be an integer >= 1, got 0"):
        pike(1.0, 1.0, 0, num_players=2)
