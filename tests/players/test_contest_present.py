"""Who takes part in a contest between players, how much each counts, and refusals."""

import functools

import jax
import numpy as np
import pytest
from jax.experimental import checkify

import neat_optax as neo
from oracle import player_contest as player_oracle
from player_contests import (
    EACH,
    FULL,
    WHOM,
    contest,
    longest,
    player,
    update,
    with_entry,
)
from properties import assert_finite, assert_trees_close, assert_trees_equal


@pytest.mark.fast("others")
@EACH
def test_nobody_to_oppose(kind):
    """Players that are all zero, and a player alone."""
    tx = contest(kind, "adaptive")
    zeros, state = update(tx, np.zeros((5, 4), np.float32))
    np.testing.assert_array_equal(zeros, 0)
    assert_finite(state)
    alone = player(5)
    only, _ = update(tx, alone, present=np.arange(5) == 2)
    np.testing.assert_array_equal(only, alone[2])


def test_a_player_alone_keeps_its_gradient():
    g = player(1)
    np.testing.assert_array_equal(update(contest("others", "adaptive"), g)[0], g[0])


@pytest.mark.fast("others-mean")
@pytest.mark.parametrize(
    ("kind", "reduce"),
    [
        ("others", "mean"),
        ("pairs", "mean"),
        pytest.param("others", "sum", marks=pytest.mark.slow),
        pytest.param("batch", "mean", marks=pytest.mark.slow),
    ],
)
def test_an_absent_player_is_no_player(kind, reduce):
    """The update and the averages are those without its row."""
    tx = contest(kind, "adaptive", reduce=reduce)
    g, present = player(5), np.array([True, False, True, True, True])
    with_gap = update(tx, with_entry(g, 1, np.nan), present=present)
    assert_trees_close(with_gap, update(tx, g[present]))
    nobody, state = update(tx, g, present=np.zeros(5, bool))
    np.testing.assert_array_equal(nobody, 0)
    assert_trees_equal(state._replace(step=np.int32(0)), tx.init(g[0]))


PREFERENCE = (0.3, 2.0, 0.0, 1.0, 0.7)


def test_a_preference_of_the_factory():
    g = player(5)
    fixed, _ = update(contest(preference=PREFERENCE), g)
    exact = player_oracle.neat(g, player_oracle.others_mean, 1.0, PREFERENCE)
    np.testing.assert_allclose(fixed, exact, atol=1e-6 * longest(g))


@pytest.mark.fast("others")
@pytest.mark.parametrize("kind", ["others", "batch"])
def test_preferences(kind):
    """They weigh a player in the update and in opponents; 0 is for the absent."""
    g, preference = player(5), PREFERENCE
    oracle = {"others": player_oracle.others_mean, "batch": player_oracle.batch_mean}
    exact = player_oracle.neat(g, oracle[kind], 1.0, preference)
    actual, _ = update(contest(kind), g, preference=np.float32(preference))
    np.testing.assert_allclose(actual, exact, atol=1e-6 * longest(g))
    assert np.abs(update(contest(kind), g)[0] - exact).max() > 1e-3


@functools.cache
def _recording(kind):
    tx = neo.player_contest(WHOM[kind], FULL, num_players=4, monitor=True)

    @jax.jit
    def first(g, **extra):
        reduced, state = tx.update(g, tx.init(g[0]), **extra)
        found = neo.diagnostics(state)
        return reduced, found["weights"].latest, found["dropped"].latest

    return first


def recorded(g, kind="others", preference=(1.0,) * 4, present=(True,) * 4):
    """The update, and of what is recorded the weights and the dropped players."""
    found = _recording(kind)(
        g, preference=np.float32(preference), present=np.array(present)
    )
    return [np.asarray(x) for x in found]


def test_a_player_that_is_not_finite_is_dropped_and_counted():
    g = player(4)
    absent, _, none = recorded(g, present=(True, False, True, True))
    assert none == 0
    for bad in (np.nan, np.inf, 1e30):
        dropped, _, count = recorded(with_entry(g, (1, 2), bad))
        np.testing.assert_allclose(dropped, absent, rtol=1e-6)
        assert count == 1


def test_players_dropped_in_one_leaf_are_dropped_in_all():
    g = {"a": player(3), "b": player(3, 2)}
    broken = {"a": with_entry(g["a"], (0, 0), np.nan), "b": g["b"]}
    absent, _ = update(contest(), g, present=np.array([False, True, True]))
    assert_trees_close(update(contest(), broken)[0], absent)


def test_players_that_are_not_finite_can_raise():
    tx = neo.player_contest(neo.opponents.others_mean(), FULL, raise_nonfinite=True)
    g, everyone = player(3), np.ones(3, bool)
    bad, state = with_entry(g, (1, 0), np.nan), tx.init(g[0])
    message = "must be finite for every player, got 1 that are not"

    @jax.jit
    @checkify.checkify
    def checked(g, present):
        return tx.update(g, state, present=present)[0]

    assert message in checked(bad, everyone)[0].get()
    assert checked(g, everyone)[0].get() is None
    assert checked(bad, np.array([True, False, True]))[0].get() is None


@pytest.mark.parametrize(
    "kind", ["others", pytest.param("batch", marks=pytest.mark.slow)]
)
def test_recorded_weights_give_the_update(kind):
    g = player(4)
    actual, weights, _ = recorded(g, kind, (1.0, 2.0, 0.5, 0.0))
    np.testing.assert_allclose(weights @ g, actual, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3,),), "`updates of one player` must have the shapes of `params`"),
        (((2, 3), (4, 3)), "leading player axis of one size on every leaf"),
        (((0, 3),), "leading player axis of one size on every leaf"),
        (((), (2, 3)), "leading player axis of one size on every leaf"),
    ],
)
def test_bad_player_axes_are_named(shapes, message):
    tx, params = contest(), [np.zeros(3, np.float32) for _ in shapes]
    with pytest.raises(ValueError, match=message):
        tx.update([np.zeros(s, np.float32) for s in shapes], tx.init(params), params)


@pytest.mark.parametrize("name", ["present", "preference"])
def test_arguments_for_another_number_of_players_are_named(name):
    message = f"`{name}` must have one entry for each of the 3 players"
    with pytest.raises(ValueError, match=message):
        update(contest(), player(3), **{name: np.ones(2)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"opponent": neo.opponents.others_mean},
            r"^`opponent` must be others_mean\(\), batch_",
        ),
        ({"opponent": neo.opponents.momentum(0.9)}, r"^`opponent` must be others_mean"),
        ({"rules": neo.detect_conflict}, r"^`rules` must be of type .*forget to call"),
        ({"scope": "leaf"}, r"^`scope` must be of type Scope, got 'leaf'\.$"),
        ({"reduce": "max"}, r"^`reduce` must be one of mean, sum, got max\.$"),
        ({"preference": (-1.0, 1.0)}, r"^`preference` must be nonnegative numbers"),
        ({"preference": (0.0, 0.0)}, r"^`preference` must be nonnegative numbers"),
        ({"num_players": 0}, r"^`num_players` must be an integer >= 1, got 0\.$"),
        ({"monitor": 1}, r"^`monitor` must be True or False, got 1\.$"),
        ({"monitor": True}, r"^`num_players` must be given for monitor=True, got"),
        ({"raise_nonfinite": 1}, r"^`raise_nonfinite` must be True or False, got 1"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        neo.player_contest(
            **{"opponent": neo.opponents.others_mean(), "rules": FULL, **options}
        )


def test_nothing_to_update():
    tx = neo.player_contest(neo.opponents.others_mean(), FULL, num_players=3)
    assert tx.update({}, tx.init({}))[0] == {}


def test_another_number_of_players_than_announced_is_refused():
    tx = neo.player_contest(neo.opponents.others_mean(), FULL, num_players=3)
    with pytest.raises(ValueError, match="must have 3 players, as `num_players` says"):
        update(tx, player(4))
