"""The recipe between players: NEAT's rules in a contest, with every option."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from oracle import player_contest as player_oracle
from properties import assert_trees_equal

G = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)


def step(tx, g=G, **extra):
    return jax.jit(tx.update)(g, tx.init(g[0]), **extra)


def test_by_hand():
    """(1, 0) and (-1, 1) have the conflict 1/sqrt 2 and lose that of their overlap.

    (1, 0) - (1, -1) / (2 sqrt 2) and (-1, 1) + (1, 0) / sqrt 2, halved.
    """
    g, root = jnp.array([[1.0, 0.0], [-1.0, 1.0]]), 1 / np.sqrt(2)
    update, _ = step(neo.player_neat_correction(1.0), g)
    np.testing.assert_allclose(update, [root / 4, 0.5 + root / 4], rtol=1e-6)


@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_without_alpha_it_is_the_reduction(reduce):
    update, _ = step(neo.player_neat_correction(0.0, reduce=reduce))
    np.testing.assert_allclose(update, getattr(jnp, reduce)(G, axis=0), rtol=1e-6)


def test_players_that_agree_are_left_alone():
    g = jnp.abs(G)
    update, _ = step(neo.player_neat_correction(1.0), g)
    np.testing.assert_allclose(update, g.mean(axis=0), rtol=1e-6)


def test_the_default_is_a_contest_with_the_rules_of_neat():
    recipe = neo.player_neat_correction()
    contest = neo.player_contest(neo.opponents.others_mean(), neo.neat_rules(0.25))
    assert_trees_equal(step(recipe), step(contest))
    exact = player_oracle.neat(G, player_oracle.others_mean, 0.25)
    np.testing.assert_allclose(step(recipe)[0], exact, atol=1e-6)


@pytest.mark.parametrize(
    "option",
    [
        {"alpha": 0.5},
        {"opponent": neo.opponents.batch_mean()},
        {"opponent": neo.opponents.pairwise()},
        {"reduce": "sum"},
        {"preference": (1.0, 2.0, 3.0)},
        {"correction": neo.dampen_conflict},
        {"clip_ratio": 0.01},
        {"warmup_steps": 1},
        {"conflict_threshold": 0.9},
        {"correction_range": (2.0, 3.0)},
        {"scope": neo.by_label({"a": 0, "b": 0})},
    ],
    ids=lambda option: "-".join(option),
)
def test_every_option_counts(option):
    """It is handed on: the update is another one than the default's."""
    g = {"a": G, "b": -2 * G[::-1, :2]}
    usual, changed = (
        jax.jit(tx.update)(g, tx.init(jax.tree.map(lambda x: x[0], g)))[0]
        for tx in (neo.player_neat_correction(), neo.player_neat_correction(**option))
    )
    assert np.abs(usual["a"] - changed["a"]).max() > 1e-4


def test_the_decay_of_the_average_conflict_counts_from_the_second_step():
    """The habit of opposed steps strengthens the correction of a mild conflict."""
    updates = []
    for decay in (0.0, 0.9):
        tx = neo.player_neat_correction(
            1.0, correction_range=(1.0, 9.0), conflict_decay=decay, clip_ratio=9.0
        )
        opposed, state = jnp.array([[1.0, 0.0], [-1.0, 0.0]]), tx.init(jnp.ones(2))
        update = jax.jit(tx.update)
        for _ in range(3):
            _, state = update(opposed, state)
        mild = jnp.array([[1.0, 0.0], [-0.1, 1.0]])
        updates.append(update(mild, state)[0])
    assert np.abs(updates[0] - updates[1]).max() > 1e-4


def test_alpha_takes_a_schedule():
    tx = neo.player_neat_correction(optax.linear_schedule(0.0, 1.0, 1))
    first, state = tx.update(G, tx.init(G[0]))
    second, _ = tx.update(G, state)
    np.testing.assert_allclose(first, G.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(second, step(neo.player_neat_correction(1.0))[0], 1e-6)


def test_measures_of_corrections_and_of_players():
    tx = neo.player_neat_correction(0.5, num_players=3, monitor=True)
    g = jnp.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    found = neo.diagnostics(step(tx, g)[1])
    # Player 0 meets a mean of 0, player 1 is opposed by the others, player 2 as 0.
    np.testing.assert_allclose(found["conflict"].latest, 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(found["opposed"].latest, 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(found["correction_ratio"].latest, 0.5 / 3, rtol=1e-6)
    np.testing.assert_allclose(found["conflicting_pairs"].latest, 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(found["worst_cosine"].latest, -1.0, rtol=1e-6)


def test_measures_between_pairs_are_weighted_by_size():
    """Leaves of 1 and 3 elements: opposed in the small one only."""
    tx = neo.player_neat_correction(
        opponent=neo.opponents.pairwise(), num_players=2, monitor=True
    )
    g = {"a": jnp.array([[1.0], [-1.0]]), "b": jnp.ones((2, 3))}
    _, state = jax.jit(tx.update)(g, tx.init(jax.tree.map(lambda x: x[0], g)))
    found = neo.diagnostics(state)
    np.testing.assert_allclose(found["conflict"].latest, 0.25, rtol=1e-6)
    np.testing.assert_allclose(found["conflict"].per_leaf, [1.0, 0.0], atol=1e-6)


def test_measures_need_the_number_of_players():
    with pytest.raises(ValueError, match="`num_players` must be given for monitor=Tr"):
        neo.player_neat_correction(monitor=True)


def test_it_stands_before_any_optimizer():
    tx = optax.chain(neo.player_neat_correction(1.0), optax.sgd(0.5))
    update, _ = tx.update(G, tx.init(G[0]), G[0])
    alone, _ = step(neo.player_neat_correction(1.0))
    np.testing.assert_allclose(update, -0.5 * alone, rtol=1e-6)
