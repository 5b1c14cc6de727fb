"""The contest between players against the contest of each of them, and by hand."""

import functools

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings

import neat_optax as neo
import running
import samplers
from oracle import player_contest as player_oracle
from player_contests import (
    EACH,
    ROUNDING,
    RULES,
    contest,
    longest,
    player,
    stacks,
    update,
)
from properties import assert_same_types, assert_trees_close


def opponents(g, kind):
    """Every opponent formed, in float64."""
    g = g.astype(np.float64)
    if kind == "batch":
        return np.float32(np.stack([g.mean(axis=0)] * len(g)))
    rows = [np.delete(g, i, axis=0).sum(axis=0) for i in range(len(g))]
    return np.float32(np.stack(rows) / max(len(g) - 1, 1))


def share(states):
    """Averages are shared, counters go on."""

    def one(x):
        x = np.asarray(x)
        return x.mean(axis=0) if np.issubdtype(x.dtype, np.inexact) else x[0]

    return jax.tree.map(one, states)


@pytest.mark.fast("3-shape1-others-adaptive", "17-shape3-others-project")
@pytest.mark.parametrize(
    ("count", "shape", "kind", "rules"),
    [
        (2, (2, 3), "others", "gated"),
        (3, (3,), "others", "adaptive"),
        (5, (2, 3), "batch", "dampen"),
        (17, (3,), "others", "project"),  # one more than is unrolled
        pytest.param(1, (), "others", "adaptive", marks=pytest.mark.slow),
        pytest.param(33, (), "batch", "adaptive", marks=pytest.mark.slow),
    ],
)
def test_is_the_contest_of_every_player(count, shape, kind, rules):
    """Two steps, so that averages are shared between them: updates and states."""
    tx = contest(kind, rules, reduce="sum")
    one = neo.contest(neo.opponents.given(), RULES[rules])

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, 0, None))
    def each(gradient, opponent, state):
        return one.update(gradient, state, opponent=opponent)

    @settings(max_examples=15)
    @given(samplers.seeds)
    def check(seed):
        zeros = np.zeros(shape, np.float32)
        state, alone = tx.init(zeros), one.init(zeros)
        for step in range(2):
            g = stacks(seed + step, count, shape)
            actual, state = tx.update(g, state)
            corrected, states = each(g, opponents(g, kind), alone)
            alone = share(states)
            error = np.max(np.abs(actual - np.asarray(corrected).sum(0)))
            assert error <= ROUNDING * np.sqrt(count) * longest(g)
            assert_trees_close(state.rules, alone.rules, rtol=1e-4, atol=1e-5)

    check()


AB = neo.by_label({"a": "x", "b": "y", "c": "x"})


@pytest.mark.parametrize(
    "scope", [AB, pytest.param(neo.whole_tree, marks=pytest.mark.slow)]
)
def test_scopes_sum_over_their_leaves(scope):
    """Leaves that share a scope act like one longer leaf."""
    tx = contest(scope=scope)
    g = {"a": player(5, 2, 0), "b": player(5, 4, 1), "c": player(5, 2, 2)}
    actual, _ = update(tx, g)
    for names in ("abc",) if scope is neo.whole_tree else ("ac", "b"):
        joined = np.concatenate([g[n] for n in names], axis=1)
        whole, _ = update(contest(), joined)
        parts = np.concatenate([actual[n] for n in names])
        np.testing.assert_allclose(parts, whole, atol=ROUNDING * longest(joined))


def test_labels_are_made_from_one_players_shapes():
    """A function that looks at ranks sees those of the parameters."""
    scope = neo.by_label(lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree))
    assert scope.owners({"w": np.ones((3, 2)), "b": np.ones(2)}) == (0, 1)
    g = {"w": stacks(0, 3, (3, 2)), "b": stacks(1, 3, (2,))}
    tx = contest(scope=scope)
    state = tx.init({"w": g["w"][0], "b": g["b"][0]})
    reduced, after = jax.eval_shape(tx.update, g, state)
    assert jax.tree.map(lambda x: x.shape, reduced) == {"w": (3, 2), "b": (2,)}
    assert_same_types(after, state)


@EACH
def test_the_order_of_the_players_does_not_matter(kind):
    tx = contest(kind, "adaptive")
    state = mixed_state = tx.init(np.zeros(4, np.float32))
    everyone = np.ones(5, bool)
    for seed in range(3):
        g = player(5, 4, seed)
        order = np.random.default_rng(seed).permutation(5)
        u, state = tx.update(g, state, present=everyone)
        v, mixed_state = tx.update(g[order], mixed_state, present=everyone)
        np.testing.assert_allclose(u, v, atol=1e-6 * longest(g))
        assert_trees_close(mixed_state, state, rtol=1e-5)


@pytest.mark.parametrize(
    "count",
    [5, 20, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 8, 40))],
)
def test_opponents_that_nearly_cancel_are_kept(count):
    """The others of player 0 add up to a thousandth, or less, of their lengths."""
    for gap in (1e-3, 1e-5):
        rng = np.random.default_rng(count)
        g = rng.normal(size=(count, 50))
        g[1] = gap * rng.normal(size=50) - g[2:].sum(axis=0)
        g = g.astype(np.float32)
        actual, _ = update(contest(), g)
        exact = player_oracle.neat(g, player_oracle.others_mean)
        assert np.linalg.norm(actual - exact) <= 1e-6 * longest(g)


def test_the_metric_is_where_conflict_is_judged():
    """Opponents and corrections of `g / metric`, multiplied by the metric again."""
    g, metric = player(5, 4), np.float32(10.0 ** np.linspace(-1, 1, 4))
    actual, _ = update(contest(), g, metric=metric)
    inside = np.asarray(g, np.float64) / metric
    exact = metric * player_oracle.neat(inside, player_oracle.others_mean)
    np.testing.assert_allclose(actual, exact, rtol=1e-5, atol=1e-5)
    assert np.abs(actual - update(contest(), g)[0]).max() > 1e-3


def test_complex_leaves_are_pairs_of_real_ones():
    real, imag = player(5, 2, 0), player(5, 2, 1)
    actual, _ = update(contest(), real + 1j * imag)
    whole, _ = update(contest(), np.concatenate([real, imag], axis=1))
    parts = np.concatenate([np.real(actual), np.imag(actual)])
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)


def test_low_precision_is_summed_in_float32():
    """The answer is that of the same numbers in float32, rounded once."""
    g = player().astype(ml_dtypes.bfloat16)
    actual, _ = update(contest(), g)
    wide, _ = update(contest(), g.astype(np.float32))
    assert actual.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(actual, wide.astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize(
    "opponent",
    [
        neo.opponents.others_mean(),
        pytest.param(neo.opponents.pairwise(), marks=pytest.mark.slow),
    ],
)
def test_mixed_precision_in_one_scope(opponent):
    with jax.enable_x64(True):
        g = {"a": player(17), "b": player(17).astype(np.float64)}
        tx = neo.player_contest(opponent, RULES["adaptive"], scope=neo.whole_tree)
        state = tx.init(jax.tree.map(lambda x: x[0], g))
        u, after = jax.eval_shape(tx.update, g, state)
        assert (u["a"].dtype, u["b"].dtype) == (np.float32, np.float64)
        assert_same_types(after, state)


@pytest.mark.slow
def test_inside_vmap_and_scan():
    """Replicas at once, with states of their own, step by step."""
    tx = contest("others", "adaptive")
    runs = np.stack([[player(seed=3 * r + t) for t in range(3)] for r in range(2)])

    @jax.jit
    @jax.vmap
    def together(steps):
        def body(state, g):
            u, state = tx.update(g, state)
            return state, u

        return jax.lax.scan(body, tx.init(steps[0, 0]), steps)

    states, updates = together(runs)
    for r in range(2):
        alone, _, state = running.run(tx, runs[r], runs[r, 0, 0])
        mine = jax.tree.map(lambda x, r=r: x[r], (states, updates))
        assert_trees_close(mine, (state, alone), rtol=1e-5)
