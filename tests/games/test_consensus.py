"""Consensus optimization: the authors' numbers, and a rate in closed form."""

import jax
import numpy as np
import pytest

import small_games as small
from neat_optax import games


@pytest.mark.parametrize("name", small.RECORDED)
def test_it_has_the_authors_gradients(name):
    players, expected = small.authors(name)
    of_game = games.value_and_grad(getattr(small, name), games.consensus(0.7))
    losses, grads = small.at_points(of_game, players)
    wanted = np.stack(expected["losses"])
    np.testing.assert_allclose(losses.T, wanted, rtol=2e-5, atol=1e-7)
    for found, wanted in zip(grads, expected["co"], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-4)


def test_a_bilinear_game_shrinks_by_its_factor():
    """Of 1 - rate (strength + i): here sqrt(.9^2 + .2^2) at every step."""
    of_game = games.value_and_grad(small.bilinear, games.consensus(0.5))
    start = [np.ones(1, np.float32), np.zeros(1, np.float32)]
    run = jax.jit(lambda z: small.played(of_game, z, 0.2, 100)[0])
    length = np.linalg.norm(run(start))
    np.testing.assert_allclose(length, np.hypot(0.9, 0.2) ** 100, rtol=1e-4)


def test_a_negative_strength_is_refused():
    with pytest.raises(ValueError, match="`strength` must be in"):
        games.consensus(-1.0)
