"""The contest between players against the contest of each of them, and by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from jax.experimental import checkify

import neat_optax as neo
import player_contract
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
    return player_contract.compiled(tx)


def stacks(seed, count, shape):
    """Players with lengths between 0.1 and 10, most of them opposed to someone."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-1, 1, size=(count, *[1] * len(shape)))
    return (scales * rng.normal(size=(count, *shape))).astype(np.float32)


def player(count=3, size=4, seed=0):
    return jnp.asarray(stacks(seed, count, (size,)))


def update(tx, g, **extra):
    return tx.update(g, tx.init(jax.tree.map(lambda x: x[0], g)), **extra)


def longest(g):
    return float(np.max(np.linalg.norm(g.reshape(len(g), -1), axis=1)))


def opponents(g, kind):
    """Every opponent formed, in float64."""
    g = g.astype(np.float64)
    if kind == "batch":
        return jnp.asarray(np.stack([g.mean(axis=0)] * len(g)), jnp.float32)
    rows = [np.delete(g, i, axis=0).sum(axis=0) for i in range(len(g))]
    return jnp.asarray(np.stack(rows) / max(len(g) - 1, 1), jnp.float32)


def share(states):
    """Averages are shared, counters go on."""

    def one(x):
        return x.mean(axis=0) if jnp.issubdtype(x.dtype, jnp.inexact) else x[0]

    return jax.tree.map(one, states)


@pytest.mark.parametrize(
    ("count", "shape", "kind", "rules"),
    [
        (1, (), "others", "adaptive"),
        (2, (2, 3), "others", "gated"),
        (3, (3,), "others", "adaptive"),
        (5, (2, 3), "batch", "dampen"),
        (17, (3,), "others", "project"),  # one more than is unrolled
        (33, (), "batch", "adaptive"),
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
        state, alone = tx.init(jnp.zeros(shape)), one.init(jnp.zeros(shape))
        for step in range(2):
            g = stacks(seed + step, count, shape)
            actual, state = tx.update(jnp.asarray(g), state)
            corrected, states = each(jnp.asarray(g), opponents(g, kind), alone)
            alone = share(states)
            error = np.max(np.abs(actual - corrected.sum(0)))
            assert error <= ROUNDING * np.sqrt(count) * longest(g)
            assert_trees_close(state.rules, alone.rules, rtol=1e-4, atol=1e-5)

    check()


AB = neo.by_label({"a": "x", "b": "y", "c": "x"})


@pytest.mark.parametrize("scope", [neo.whole_tree, AB])
def test_scopes_sum_over_their_leaves(scope):
    """Leaves that share a scope act like one longer leaf."""
    tx = contest(scope=scope)
    g = {"a": player(5, 2, 0), "b": player(5, 3, 1), "c": player(5, 4, 2)}
    actual, _ = update(tx, g)
    for names in ("abc",) if scope is neo.whole_tree else ("ac", "b"):
        joined = jnp.concatenate([g[n] for n in names], axis=1)
        whole, _ = update(contest(), joined)
        parts = jnp.concatenate([actual[n] for n in names])
        np.testing.assert_allclose(parts, whole, atol=ROUNDING * longest(joined))


def test_labels_are_made_from_one_players_shapes():
    """A function that looks at ranks sees those of the parameters."""
    scope = neo.by_label(lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree))
    g = player_contract.gradients()
    actual, after = update(contest(scope=scope), g)
    assert_trees_close(actual, update(contest(), g)[0])
    assert_same_types(after, contest(scope=scope).init(player_contract.PARAMS))


@EACH
def test_the_order_of_the_players_does_not_matter(kind):
    tx = contest(kind, "adaptive")
    state = mixed_state = tx.init(jnp.zeros(4))
    for seed in range(3):
        g = player(5, 4, seed)
        order = np.random.default_rng(seed).permutation(5)
        u, state = tx.update(g, state)
        v, mixed_state = tx.update(g[order], mixed_state)
        np.testing.assert_allclose(u, v, atol=1e-6 * longest(g))
        assert_trees_close(mixed_state, state, rtol=1e-5)


@pytest.mark.parametrize("count", [3, 5, 8, 20, 40])
@pytest.mark.parametrize("gap", [1e-3, 1e-5])
def test_opponents_that_nearly_cancel_are_kept(count, gap):
    """The others of player 0 add up to a thousandth, or less, of their lengths."""
    rng = np.random.default_rng(count)
    g = rng.normal(size=(count, 50))
    g[1] = gap * rng.normal(size=50) - g[2:].sum(axis=0)
    g = g.astype(np.float32)
    actual, _ = update(contest(), jnp.asarray(g))
    exact = player_oracle.neat(g, player_oracle.others_mean)
    assert np.linalg.norm(actual - exact) <= 1e-6 * longest(g)


@EACH
def test_nobody_to_oppose(kind):
    """Players that are all zero, and a player alone."""
    tx = contest(kind, "adaptive")
    zeros, state = update(tx, jnp.zeros((5, 4)))
    np.testing.assert_array_equal(zeros, 0)
    assert_finite(state)
    alone = player(5)
    only, _ = update(tx, alone, present=jnp.arange(5) == 2)
    np.testing.assert_array_equal(only, alone[2])
    np.testing.assert_array_equal(update(tx, alone[:1])[0], alone[0])


@EACH
@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_an_absent_player_is_no_player(kind, reduce):
    """The update and the averages are those without its row."""
    tx = contest(kind, "adaptive", reduce=reduce)
    g, present = player(4), jnp.array([True, False, True, True])
    with_gap = update(tx, g.at[1].set(jnp.nan), present=present)
    assert_trees_close(with_gap, update(tx, g[present]))
    nobody, state = update(tx, g, present=jnp.zeros(4, bool))
    np.testing.assert_array_equal(nobody, 0)
    assert_trees_equal(state._replace(step=jnp.zeros((), jnp.int32)), tx.init(g[0]))


@pytest.mark.parametrize("kind", ["others", "batch"])
def test_preferences(kind):
    """They weigh a player in the update and in opponents; 0 is for the absent."""
    g, preference = player(5), (0.3, 2.0, 0.0, 1.0, 0.7)
    oracle = {"others": player_oracle.others_mean, "batch": player_oracle.batch_mean}
    exact = player_oracle.neat(g, oracle[kind], 1.0, preference)
    fixed, _ = update(contest(kind, preference=preference), g)
    passed, _ = update(contest(kind), g, preference=jnp.array(preference))
    for actual in (fixed, passed):
        np.testing.assert_allclose(actual, exact, atol=1e-6 * longest(g))
    assert np.abs(update(contest(kind), g)[0] - exact).max() > 1e-3


def test_the_argument_overrides_the_preference():
    g = player(3)
    passed, _ = update(contest(preference=(1.0, 2.0, 3.0)), g, preference=jnp.ones(3))
    np.testing.assert_allclose(passed, update(contest(), g)[0], rtol=1e-6)


def test_a_mean_and_a_sum_of_preferred_players():
    preference = (1.0, 2.0, 3.0)
    mean, _ = update(contest(preference=preference), player(3))
    total, _ = update(contest(preference=preference, reduce="sum"), player(3))
    np.testing.assert_allclose(total, 6 * mean, rtol=1e-6)


def measured_update(kind, g, preference=(1.0,) * 4, present=(True,) * 4):
    tx = contest(kind, num_players=4, monitor=True)
    extra = {"preference": jnp.array(preference), "present": jnp.array(present)}
    return update(tx, g, **extra)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_a_player_that_is_not_finite_is_dropped_and_counted(bad):
    g = player(4)
    dropped, state = measured_update("others", g.at[1, 2].set(bad))
    absent, _ = measured_update("others", g, present=(True, False, True, True))
    np.testing.assert_allclose(dropped, absent, rtol=1e-6)
    assert neo.diagnostics(state)["dropped"].latest == 1


def test_players_dropped_in_one_leaf_are_dropped_in_all():
    g = {"a": player(3), "b": player(3, 2)}
    broken = {"a": g["a"].at[0, 0].set(jnp.nan), "b": g["b"]}
    absent, _ = update(contest(), g, present=jnp.array([False, True, True]))
    assert_trees_close(update(contest(), broken)[0], absent)


def test_players_that_are_not_finite_can_raise():
    tx = neo.player_contest(neo.opponents.others_mean(), FULL, raise_nonfinite=True)
    g = player(3)
    bad, state = g.at[1, 0].set(jnp.nan), tx.init(g[0])
    message = "must be finite for every player, got 1 that are not"
    with pytest.raises(Exception, match=message):
        tx.update(bad, state)
    present = jnp.array([True, False, True])
    tx.update(g, state)
    tx.update(bad, state, present=present)
    checked = jax.jit(checkify.checkify(lambda g: tx.update(g, state)[0]))
    assert message in checked(bad)[0].get()
    assert checked(g)[0].get() is None


def test_the_metric_is_where_conflict_is_judged():
    """Opponents and corrections of `g / metric`, multiplied by the metric again."""
    g, metric = player(4, 6), jnp.asarray(10.0 ** np.linspace(-1, 1, 6), jnp.float32)
    actual, _ = update(contest(), g, metric=metric)
    inside = np.asarray(g, np.float64) / np.asarray(metric)
    exact = metric * player_oracle.neat(inside, player_oracle.others_mean)
    np.testing.assert_allclose(actual, exact, rtol=1e-5, atol=1e-5)
    assert np.abs(actual - update(contest(), g)[0]).max() > 1e-3


def test_complex_leaves_are_pairs_of_real_ones():
    real, imag = player(5, 3, 0), player(5, 3, 1)
    actual, _ = update(contest(), real + 1j * imag)
    whole, _ = update(contest(), jnp.concatenate([real, imag], axis=1))
    parts = jnp.concatenate([actual.real, actual.imag])
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)


def test_low_precision_is_summed_in_float32():
    """The answer is that of the same numbers in float32, rounded once."""
    g = player(5, 40).astype(jnp.bfloat16)
    actual, _ = update(contest(), g)
    wide, _ = update(contest(), g.astype(jnp.float32))
    assert actual.dtype == jnp.bfloat16
    np.testing.assert_array_equal(actual, wide.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    "opponent", [neo.opponents.others_mean(), neo.opponents.pairwise()]
)
def test_mixed_precision_in_one_scope(opponent):
    with jax.enable_x64(True):
        g = {"a": player(17), "b": player(17).astype(jnp.float64)}
        tx = neo.player_contest(opponent, RULES["adaptive"], scope=neo.whole_tree)
        state = tx.init(jax.tree.map(lambda x: x[0], g))
        u, after = jax.eval_shape(tx.update, g, state)
        assert (u["a"].dtype, u["b"].dtype) == (jnp.float32, jnp.float64)
        assert_same_types(after, state)


def test_the_contract_of_reductions():
    adaptive = neo.player_contest(neo.opponents.others_mean(), RULES["adaptive"])
    player_contract.check_contract(adaptive)


def test_inside_vmap_and_scan():
    """Replicas at once, with states of their own, step by step."""
    tx = contest("others", "adaptive")
    seeds = np.arange(6).reshape(2, 3)
    runs = jnp.stack([jnp.stack([player(seed=s) for s in row]) for row in seeds])

    def run(steps):
        def body(state, g):
            u, state = tx.update(g, state)
            return state, u

        return jax.lax.scan(body, tx.init(jnp.zeros(4)), steps)

    together = jax.vmap(run)(runs)
    for r in range(2):
        alone = jax.tree.map(lambda x, r=r: x[r], together)
        assert_trees_close(alone, run(runs[r]), rtol=1e-5)


@pytest.mark.parametrize("kind", ["others", "batch"])
def test_recorded_weights_give_the_update(kind):
    g, preference = player(4), (1.0, 2.0, 0.5, 0.0)
    actual, state = measured_update(kind, g, preference)
    weights = neo.diagnostics(state)["weights"].latest
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
    tx, params = contest(), [jnp.zeros(3) for _ in shapes]
    with pytest.raises(ValueError, match=message):
        tx.update([jnp.zeros(s) for s in shapes], tx.init(params), params)


@pytest.mark.parametrize("name", ["present", "preference"])
def test_arguments_for_another_number_of_players_are_named(name):
    message = f"`{name}` must have one entry for each of the 3 players"
    with pytest.raises(ValueError, match=message):
        update(contest(), player(3), **{name: jnp.ones(2)})


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
