"""The contest between players against the contest of each of them, and by hand."""

import functools

import jax
import ml_dtypes
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from jax.experimental import checkify

import neat_optax as neo
import running
import samplers
from oracle import player_contest as player_oracle
from properties import (
    assert_finite,
    assert_same_types,
    assert_trees_close,
    assert_trees_equal,
)

FULL = optax.chain(neo.detect_conflict(), neo.project_conflict(1.0))
RULES = {
    "project": FULL,
    "dampen": optax.chain(neo.detect_conflict(0.1), neo.dampen_conflict(0.7)),
    "adaptive": neo.neat_rules(0.5, correction_range=(1.0, 3.0), clip_ratio=0.3),
    "gated": neo.neat_rules(0.8, conflict_threshold=0.2, warmup_steps=1),
}
WHOM = {
    "others": neo.opponents.others_mean(),
    "batch": neo.opponents.batch_mean(),
    "pairs": neo.opponents.pairwise(),
}
EACH = pytest.mark.parametrize("kind", WHOM)
ROUNDING = 1e-5  # of the longest player: sums of up to 33 players, and their products


@functools.cache
def contest(kind="others", rules="project", **options):
    """The contest, with a compiled update that tests with the same options share."""
    tx = neo.player_contest(WHOM[kind], RULES[rules], **options)
    return optax.GradientTransformationExtraArgs(tx.init, jax.jit(tx.update))


def stacks(seed, count, shape):
    """Players with lengths between 0.1 and 10, most of them opposed to someone."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-1, 1, size=(count, *[1] * len(shape)))
    return (scales * rng.normal(size=(count, *shape))).astype(np.float32)


def player(count=5, size=4, seed=0):
    return stacks(seed, count, (size,))


def update(tx, g, **extra):
    """One first step; `present` is always passed, so that tests share it compiled."""
    count = len(jax.tree.leaves(g)[0])
    extra = {"present": np.ones(count, bool)} | extra
    return tx.update(g, tx.init(jax.tree.map(lambda x: x[0], g)), **extra)


def with_entry(g, where, value):
    """A copy with one entry replaced."""
    changed = g.copy()
    changed[where] = value
    return changed


def longest(g):
    return float(np.max(np.linalg.norm(g.reshape(len(g), -1), axis=1)))


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
