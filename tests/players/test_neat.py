"""The recipe between players: NEAT's rules in a contest, with every option."""

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo
import running
from neat_optax.players import _neat
from oracle import player_contest as player_oracle
from properties import assert_trees_equal

G = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def step(tx, g=G):
    @jax.jit
    def first(g):
        return tx.update(g, tx.init(jax.tree.map(lambda x: x[0], g)))

    return first(g)


def test_by_hand():
    """(1, 0) and (-1, 1) have the conflict 1/sqrt 2 and lose that of their overlap.

    (1, 0) - (1, -1) / (2 sqrt 2) and (-1, 1) + (1, 0) / sqrt 2, halved.
    """
    g, root = np.float32([[1.0, 0.0], [-1.0, 1.0]]), 1 / np.sqrt(2)
    update, _ = step(neo.player_neat_correction(1.0), g)
    np.testing.assert_allclose(update, [root / 4, 0.5 + root / 4], rtol=1e-6)


@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_without_alpha_it_is_the_reduction(reduce):
    update, _ = step(neo.player_neat_correction(0.0, reduce=reduce))
    np.testing.assert_allclose(update, getattr(np, reduce)(G, axis=0), rtol=1e-6)


def test_the_default_is_a_contest_with_the_rules_of_neat():
    recipe = neo.player_neat_correction()
    contest = neo.player_contest(neo.opponents.others_mean(), neo.neat_rules(0.25))
    assert_trees_equal(step(recipe), step(contest))
    exact = player_oracle.neat(G, player_oracle.others_mean, 0.25)
    np.testing.assert_allclose(step(recipe)[0], exact, atol=1e-6)


def test_every_option_is_passed_on(monkeypatch):
    """To a contest, whose own tests say what each of them does."""
    monkeypatch.setattr(_neat, "player_contest", lambda *args, **named: (args, named))
    options = {
        "scope": neo.whole_tree,
        "reduce": "sum",
        "preference": (1.0, 2.0, 3.0),
        "num_players": 3,
        "raise_nonfinite": True,
    }
    rules, opponent = neo.neat_rules(clip_ratio=0.01), neo.opponents.pairwise()
    found = neo.player_neat_correction(rules=rules, opponent=opponent, **options)
    assert found == ((opponent, rules), {**options, "monitor": False})


def test_the_decay_of_the_average_conflict_counts_from_the_second_step():
    """The habit of opposed steps strengthens the correction of a mild conflict."""
    opposed, mild = [[1.0, 0.0], [-1.0, 0.0]], [[1.0, 0.0], [-0.1, 1.0]]
    gradients, last = np.float32([opposed] * 3 + [mild]), []
    for decay in (0.0, 0.9):
        rules = neo.neat_rules(
            1.0, correction_range=(1.0, 9.0), conflict_decay=decay, clip_ratio=9.0
        )
        tx = neo.player_neat_correction(rules=rules)
        last.append(running.run(tx, gradients, gradients[0, 0])[0][-1])
    assert np.abs(last[0] - last[1]).max() > 1e-4


def test_alpha_takes_a_schedule():
    """Without a correction at first; players that agree are left alone later."""
    tx = neo.player_neat_correction(optax.linear_schedule(0.0, 1.0, 1))
    (first, second, agreed), _, _ = running.run(tx, np.stack([G, G, np.abs(G)]), G[0])
    np.testing.assert_allclose(first, G.mean(axis=0), rtol=1e-6)
    exact = player_oracle.neat(G, player_oracle.others_mean, 1.0)
    np.testing.assert_allclose(second, exact, atol=1e-6)
    np.testing.assert_allclose(agreed, np.abs(G).mean(axis=0), rtol=1e-6)


def measures(tx, g, *names):
    """Of the first step, only some: what others need is not compiled."""

    @jax.jit
    def first(g):
        _, state = tx.update(g, tx.init(jax.tree.map(lambda x: x[0], g)))
        found = neo.diagnostics(state)
        return {name: found[name] for name in names}

    return first(g)


def test_measures_of_corrections_and_of_players():
    """Player 0 meets a mean of 0, player 1 is opposed by the others, player 2 as 0."""
    tx = neo.player_neat_correction(0.5, num_players=3, monitor=True)
    expected = {
        "conflict": 1 / 3,
        "opposed": 1 / 3,
        "correction_ratio": 0.5 / 3,
        "conflicting_pairs": 2 / 3,
        "worst_cosine": -1.0,
    }
    found = measures(tx, np.float32([[1, 0], [-1, 0], [1, 0]]), *expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].latest, value, rtol=1e-6, err_msg=name)


def test_measures_between_pairs_are_weighted_by_size():
    """Leaves of 1 and 3 elements: opposed in the small one only."""
    tx = neo.player_neat_correction(
        opponent=neo.opponents.pairwise(), num_players=2, monitor=True
    )
    g = {"a": np.float32([[1.0], [-1.0]]), "b": np.ones((2, 3), np.float32)}
    found = measures(tx, g, "conflict")["conflict"]
    np.testing.assert_allclose(found.latest, 0.25, rtol=1e-6)
    np.testing.assert_allclose(found.per_leaf, [1.0, 0.0], atol=1e-6)


def test_measures_need_the_number_of_players():
    with pytest.raises(ValueError, match="`num_players` must be given for monitor=Tr"):
        neo.player_neat_correction(monitor=True)


def test_it_stands_before_any_optimizer():
    tx = optax.chain(neo.player_neat_correction(1.0), optax.sgd(0.5))
    updates, _, _ = running.run(tx, G[None], G[0])
    exact = player_oracle.neat(G, player_oracle.others_mean, 1.0)
    np.testing.assert_allclose(updates[0], -0.5 * exact, atol=1e-6)
