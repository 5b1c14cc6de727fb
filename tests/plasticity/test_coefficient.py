"""The way to a coefficient, and its bounds."""

import jax.numpy as jnp
import numpy as np

from neat_optax.plasticity._coefficient import clipped, mixed


def test_clipped():
    mixtures = jnp.array([0.0, 0.5, 7.0])
    np.testing.assert_allclose(clipped(mixtures, 0.2, 2.0), [0.2, 0.5, 2.0])


def test_mixed_by_hand():
    """A third of the way from 0.5 to 2 is 1; three times the way is out of bounds."""
    alone, full = jnp.array([0.5, 0.5]), jnp.array([2.0, 0.2])
    for strength, expected in ((0, alone), (1, full), (3, jnp.array([2.0, 0.2]))):
        found = mixed(alone, full, strength, 0.2, 2.0)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(mixed(alone, full, 1 / 3, 0.2, 2.0), [1.0, 0.4])
