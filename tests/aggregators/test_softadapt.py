import numpy as np
import pytest

import stepping
from neat_optax.aggregators._softadapt import (
    DIFFERENCES,
    softadapt,
    softadapt_weights,
)

COMPONENTS = np.array(
    [[1, 2, 3, 4, 5], [150, 100, 50, 10, 0.1], [1500, 1e3, 500, 1e2, 1]]
)
"""The example in the readme of the authors' package, at `beta=0.1`."""


def softmax(logits, factors=1.0):
    powers = factors * np.exp(logits - np.max(logits))
    return powers / np.sum(powers)


def weights_of(tx, history):
    """The weights of each step: the gradients are unit vectors."""
    players = [np.eye(len(history[0]))] * len(history)
    return np.stack(stepping.play(tx, players, losses=np.array(history))[0])


def test_by_hand():
    slopes = np.array([0.0, -2.0])
    weights = stepping.call(softadapt_weights, slopes, np.log(3) / 2)
    np.testing.assert_allclose(weights, [0.75, 0.25], rtol=1e-6)


@pytest.mark.parametrize("order", DIFFERENCES)
def test_differences_are_exact_for_polynomials(order):
    """Of the degree of their order; slope 1 at the oldest."""
    for degree in range(2, order + 1):
        points = np.arange(order + 1.0)
        values = points + points**degree
        np.testing.assert_allclose(np.dot(DIFFERENCES[order], values), 1.0, rtol=1e-9)


def test_the_authors_example():
    plain = weights_of(softadapt(order=4, num_players=3), COMPONENTS.T)[-1]
    np.testing.assert_allclose(plain, [9.9343e-01, 6.5666e-03, 3.8908e-22], rtol=1e-4)
    weighted = softadapt(order=4, loss_weighted=True, num_players=3)
    found = weights_of(weighted, COMPONENTS.T)
    np.testing.assert_allclose(found[-1], [8.7978e-01, 1.2022e-01, 7.1234e-20], 1e-4)
    np.testing.assert_allclose(found[:4], 1 / 3, rtol=1e-6)


def test_variants():
    rng = np.random.default_rng(0)
    history = rng.uniform(0.1, 3.0, size=(2, 4))
    slopes = history[1] - history[0]
    shares = slopes / np.sum(np.abs(slopes))
    means = history.mean(0)
    for normalized, loss_weighted in ((True, False), (True, True)):
        tx = softadapt(
            2.0, normalized=normalized, loss_weighted=loss_weighted, num_players=4
        )
        expected = softmax(2 * shares, means if loss_weighted else 1.0)
        np.testing.assert_allclose(weights_of(tx, history)[1], expected, rtol=1e-5)
        tiny = weights_of(tx, 1e-15 * history)[1]
        np.testing.assert_allclose(tiny, expected, rtol=1e-5)


def test_histories_skip_what_is_not_finite():
    history = [[1.0, 1.0], [np.nan, 1.0], [2.0, 1.0], [3.0, np.inf]]
    found = weights_of(softadapt(1.0, num_players=2), history)
    np.testing.assert_allclose(found[:2], [[0.5, 0.5], [0.0, 1.0]])
    np.testing.assert_allclose(found[2], softmax(np.array([1.0, 0.0])), rtol=1e-6)
    np.testing.assert_allclose(found[3], [1.0, 0.0])


def test_losses_that_are_not_positive_have_no_weight():
    slopes, means = np.zeros(3), np.array([1.0, 0.0, -1.0])
    weights = stepping.call(softadapt_weights, slopes, 0.1, means)
    np.testing.assert_allclose(weights, [1.0, 0.0, 0.0])


def test_absent_players():
    stepping.check_absent_players(softadapt(num_players=3), losses=stepping.LOSSES)


def test_errors():
    with pytest.raises(ValueError, match=r"`order` must be in \[1, 5\], got 6"):
        softadapt(order=6, num_players=2)
    with pytest.raises(ValueError, match=r"`normalized` must be True or False, got 1"):
        softadapt(normalized=1, num_players=2)
    with pytest.raises(ValueError, match=r"`num_players` must be an integer >= 1, got"):
        softadapt(num_players=0)
