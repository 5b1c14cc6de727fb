"""What a player is compared with, by hand and against float64."""

import functools

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings

import neat_optax as neo
import samplers
from oracle import player_contest as player_oracle

FULL = optax.chain(neo.detect_conflict(), neo.project_conflict(1.0))
STRONG = neo.neat_rules(5.0, clip_ratio=0.2)
OPPONENTS = ("others_mean", "batch_mean", "pairwise")


@functools.cache
def compiled(name, strong):
    """One first step of the sum of the corrected players."""
    opponent = getattr(neo.opponents, name)()
    rules = STRONG if strong else FULL
    tx = neo.player_contest(opponent, rules, reduce="sum")
    first = jax.jit(lambda g, p: tx.update(g, tx.init(g[0]), preference=p)[0])
    return lambda g, preference: np.asarray(first(g, np.float32(preference)))


def added(name, g, strong=False):
    """The sum of all corrections.

    To players of four entries, up to five; others are filled up with zeros, and with
    players that have no preference and are as long.
    """
    g = np.asarray(g, np.float32)
    full, preference = np.full((5, 4), 9, np.float32), np.zeros(5)
    full[: len(g)], preference[: len(g)] = 0, 1
    full[: len(g), : g.shape[1]] = g
    found = compiled(name, strong)(full, preference) - full[: len(g)].sum(axis=0)
    np.testing.assert_array_equal(found[g.shape[1] :], 0)
    return found[: g.shape[1]]


def draw(seed, count, size=4):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def test_by_hand():
    """Of 3, -1 and 0, the others' means are -1/2, 3/2 and 1; the mean of all is 2/3.

    With one coordinate every conflict is 1, so an opposed player loses all it has.
    """
    g = [[3.0], [-1.0], [0.0]]
    np.testing.assert_allclose(added("others_mean", g), [-3.0 + 1.0], atol=1e-6)
    np.testing.assert_allclose(added("batch_mean", g), [1.0], atol=1e-6)
    np.testing.assert_allclose(added("pairwise", g), [-3.0 + 1.0], atol=1e-6)


def test_a_long_gradient_agrees_with_the_mean_of_all():
    g = np.array([[100.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    by_all = player_oracle.corrections(g, player_oracle.batch_mean)
    np.testing.assert_array_equal(by_all[0], 0.0)
    np.testing.assert_allclose(added("batch_mean", g), by_all.sum(0), rtol=1e-5)
    assert np.abs(added("others_mean", g)[0]) > 90


@pytest.mark.parametrize("name", OPPONENTS)
@settings(max_examples=20)
@given(samplers.seeds)
def test_agrees_with_the_long_route(name, seed):
    g = draw(seed, 5)
    whom = getattr(player_oracle, name, None)
    for strong, options in ((False, (1.0, None, 1.0)), (True, (5.0, None, 0.2))):
        exact = player_oracle.corrections(g, whom, *options).sum(axis=0)
        np.testing.assert_allclose(added(name, g, strong), exact, atol=1e-5)


@pytest.mark.parametrize("strong", [False, True])
def test_between_two_players_all_others_are_one(strong):
    """Also at the bound, where the correction is clipped."""
    for seed in range(10):
        g = draw(seed, 2)
        pairs, others = added("pairwise", g, strong), added("others_mean", g, strong)
        np.testing.assert_allclose(pairs, others, rtol=1e-5, atol=1e-6)


def test_equal_others_count_as_one():
    """Four copies of the other correct a player as one does."""
    for seed in range(10):
        mine, other = draw(seed, 2)
        one, many = np.stack([mine, other]), np.stack([mine, *[other] * 4])
        exact = player_oracle.corrections(one, player_oracle.others_mean)
        found = added("pairwise", many)
        np.testing.assert_allclose(found, exact[0] + 4 * exact[1], atol=1e-5)


def test_a_conflict_that_the_mean_hides_is_corrected():
    """Player 1 opposes player 0; player 2 outweighs it in the mean of the others."""
    g = np.array([[1.0, 0.0], [-1.0, 0.1], [3.0, 0.1]])
    hidden = player_oracle.corrections(g, player_oracle.others_mean)[0]
    np.testing.assert_array_equal(hidden, 0.0)
    found = player_oracle.corrections(g, None)
    assert np.linalg.norm(found[0]) > 0.9
    np.testing.assert_allclose(added("pairwise", g), found.sum(axis=0), atol=1e-5)


@settings(max_examples=20)
@given(samplers.seeds)
def test_the_bound_holds_for_the_whole_correction(seed):
    """Each player alone has a preference: its own correction is the update's."""
    g = draw(seed, 5)
    tiny = 1e-20  # enough to be met, too little to be seen
    for i in range(len(g)):
        update = compiled("pairwise", True)(g, np.where(np.arange(5) == i, 1, tiny))
        longest = 0.2 * np.linalg.norm(g[i])
        assert np.linalg.norm(update - g[i]) <= longest * (1 + 1e-5)


def test_a_player_without_preference_is_nobodys_opponent():
    """Only the one left out is told apart, so that all compare five players."""
    for name in OPPONENTS:
        g = draw(0, 5)
        preference = [1, 1, 0, 1, 1]
        with_it = compiled(name, False)(g, preference)
        g[2] = 1e3
        without = compiled(name, False)(g, preference)
        np.testing.assert_allclose(with_it, without, rtol=1e-5, atol=1e-6)
        exact = player_oracle.corrections(
            g[[0, 1, 3, 4]], getattr(player_oracle, name, None)
        ).sum(axis=0)
        found = np.asarray(with_it) - g[[0, 1, 3, 4]].sum(axis=0)
        np.testing.assert_allclose(found, exact, atol=1e-5)


def test_rules_that_measure_no_conflict_cannot_weigh_pairs():
    tx = neo.player_contest(neo.opponents.pairwise(), optax.identity())
    g = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="must have detect_conflict before pairwise"):
        jax.eval_shape(lambda: tx.update(g, tx.init(g[0])))
