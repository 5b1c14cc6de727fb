"""Losses with one value for each player: a gradient for each, from the same noise."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from es_losses import (
    KEY,
    PARAMS,
    assert_trees_close,
    gradients_of,
    keys,
    loss,
    two_losses,
)
from neat_optax.evolution import centered_ranks, raw


@pytest.mark.parametrize("num_pairs", [16, pytest.param(64, marks=pytest.mark.slow)])
def test_shared_noise_keeps_the_cosines_of_players(num_pairs):
    slopes = np.random.default_rng(0).normal(size=(6, 2000)).astype(np.float32)
    fn = gradients_of(lambda p: slopes @ p, 0.1, num_pairs)
    true = np.corrcoef(slopes)
    errors = []
    for key in keys(20):
        units = np.asarray(fn(key, np.zeros(2000, np.float32))[1])
        units = units / np.linalg.norm(units, axis=1, keepdims=True)
        errors.append((units @ units.T - true)[np.triu_indices(6, 1)])
    rms = np.sqrt(np.mean(np.square(errors)))
    np.testing.assert_allclose(rms, num_pairs**-0.5, rtol=0.15)


@pytest.mark.slow
def test_players_that_agree_in_part_are_seen_to():
    slopes = np.float32([[3.0, 4.0, 0.0], [3.0, -4.0, 0.0], [-3.0, 4.0, 0.0]])
    fn = gradients_of(lambda p: slopes @ p, 0.1, 512)
    grads = np.asarray(fn(KEY, np.zeros(3, np.float32))[1])
    units = grads / np.linalg.norm(grads, axis=1, keepdims=True)
    np.testing.assert_allclose((units @ units.T)[0], [1, -7 / 25, 7 / 25], atol=0.15)
    np.testing.assert_array_equal(units[2], -units[1])


FAST = {(raw, 5, None), (centered_ranks, 5, 3)}
PRODUCT = [
    pytest.param(*one, marks=() if one in FAST else pytest.mark.slow)
    for one in itertools.product([raw, centered_ranks], [1, 5], [None, 3])
]


@pytest.mark.fast("shaping2-5-None")
@pytest.mark.parametrize(("shaping", "players", "batch_size"), PRODUCT)
def test_equal_losses_give_equal_gradients(shaping, players, batch_size):
    fn = gradients_of(
        lambda p: jnp.stack([loss(p)] * players),
        0.2,
        7,
        shaping=shaping,
        batch_size=batch_size,
    )
    value, grads = fn(KEY, PARAMS)
    assert value.shape == (players,)
    for leaf, param in zip(
        jax.tree.leaves(grads), jax.tree.leaves(PARAMS), strict=True
    ):
        assert leaf.shape == (players, *param.shape)
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))


@pytest.mark.parametrize(
    "shaping",
    [centered_ranks, pytest.param(raw, marks=pytest.mark.slow)],
    ids=lambda s: s.name,
)
def test_each_player_has_the_gradient_of_its_loss_alone(shaping):
    _, grads = gradients_of(two_losses, 0.2, 9, shaping=shaping)(KEY, PARAMS)
    alone = gradients_of(
        lambda p, player: two_losses(p)[player], 0.2, 9, shaping=shaping
    )
    for player in range(2):
        found = jax.tree.map(lambda g, i=player: g[i], grads)
        expected = alone(KEY, PARAMS, player)[1]
        assert_trees_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_permuting_the_players_permutes_the_gradients():
    _, grads = gradients_of(two_losses, 0.2, 9)(KEY, PARAMS)
    _, swapped = gradients_of(lambda p: two_losses(p)[::-1], 0.2, 9)(KEY, PARAMS)
    assert_trees_close(jax.tree.map(lambda g: g[::-1], grads), swapped, rtol=1e-5)


def test_sigma_for_each_entry_with_players():
    sigma = np.float32([0.5, 0.0])
    slopes = np.float32([[1.0, 2.0], [2.0, 4.0], [0.0, 1.0]])
    fn = gradients_of(lambda p: slopes @ p, sigma, 6)
    grads = np.asarray(fn(KEY, np.zeros(2, np.float32))[1])
    np.testing.assert_allclose(grads[1], 2 * grads[0], rtol=1e-6)
    np.testing.assert_array_equal(grads[:, 1], np.zeros(3))
    np.testing.assert_array_equal(grads[2], np.zeros(2))
