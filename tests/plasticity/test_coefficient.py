"""The way to a coefficient, and its bounds."""

import jax
import numpy as np

from neat_optax.plasticity._coefficient import clipped, mixed


def test_clipped():
    mixtures = np.array([0.0, 0.5, 7.0], np.float32)
    np.testing.assert_allclose(clipped(mixtures, 0.2, 2.0), [0.2, 0.5, 2.0])


def test_mixed_by_hand():
    """A third of the way from 0.5 to 2 is 1; three times the way is out of bounds."""
    alone, full = np.array([0.5, 0.5], np.float32), np.array([2.0, 0.2], np.float32)
    mix = jax.jit(mixed)
    for strength, expected in ((0, alone), (1, full), (3, [2.0, 0.2])):
        found = mix(alone, full, np.float32(strength), 0.2, 2.0)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = mix(alone, full, np.float32(1 / 3), 0.2, 2.0)
    np.testing.assert_allclose(found, [1.0, 0.4], rtol=1e-6)
