"""The skeletons that CONTRIBUTING.md starts from are themselves tested."""

import numpy as np
import optax
import pytest
from hypothesis import given

import running
import samplers
import stepping
from skeletons._shrink_longest import shrink_longest, shrink_longest_weights

SEATS = 7


def oracle(j, factor):
    """On the gradients themselves, never on their inner products."""
    lengths = np.linalg.norm(j, axis=1)
    longest = factor * np.sort(lengths)[(len(j) - 1) // 2]
    clipped = [g * min(1, longest / n) for g, n in zip(j, lengths, strict=True)]
    return np.mean(clipped, axis=0)


def reduced(j, factor):
    """Padded with absent players, so that one compiled rule serves all shapes."""
    padded = np.pad(j, ((0, SEATS - len(j)), (0, 0)))
    present = np.arange(SEATS) < len(j)
    gramian = padded @ padded.T
    return stepping.call(shrink_longest_weights, gramian, factor, present) @ padded


def test_by_hand():
    """The lengths are 1, 2 and 8: the last is shrunk to a quarter."""
    j = np.array([[1.0, 0.0], [0.0, 2.0], [8.0, 0.0]])
    np.testing.assert_allclose(reduced(j, 1.0), [1.0, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(reduced(j, 0.5), [2 / 3, 1 / 3], rtol=1e-6)


@given(samplers.players(shapes=samplers.PLAYER_SHAPES, decades=4.0))
def test_agrees_with_the_oracle(j):
    scale = np.linalg.norm(j, axis=1).max()
    np.testing.assert_allclose(reduced(j, 0.7), oracle(j, 0.7), atol=1e-5 * scale)


@given(samplers.players(shapes=samplers.PLAYER_SHAPES, decades=6.0))
def test_the_update_is_no_longer_than_the_median_gradient(j):
    lengths = np.linalg.norm(j, axis=1)
    median = np.sort(lengths)[(len(j) - 1) // 2]
    assert np.linalg.norm(reduced(j, 1.0)) <= median * (1 + 1e-5)


def test_in_a_chain_before_adam():
    """Adam's first steps have the learning rate's size, against the update's signs."""
    j = np.array([[1.0, 0.5], [-2.0, 0.5], [3.0, 0.5]], np.float32)
    tx = optax.chain(shrink_longest(), optax.adam(0.1))
    stacked, start = np.stack([j] * 3), np.zeros(2, np.float32)
    _, params, _ = running.run(tx, stacked, start)
    np.testing.assert_allclose(params[-1], -0.3 * np.sign(oracle(j, 1.0)), rtol=1e-4)


def test_absent_players():
    stepping.check_absent_players(shrink_longest(lambda step: 1.0 / (1 + step)))


def test_errors():
    with pytest.raises(ValueError, match=r"`factor` must be in \(0, inf\), got 0.0\."):
        shrink_longest(0.0)
