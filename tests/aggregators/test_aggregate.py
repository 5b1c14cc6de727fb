import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental import checkify
from optax.experimental import aggregating

import neat_optax as neo
import properties
import stepping
from neat_optax import aggregators
from oracle import aggregators as oracle

rng = np.random.default_rng(0)
G = {
    "a": rng.normal(size=(3, 4, 2)).astype(np.float32),
    "b": rng.normal(size=(3, 5)).astype(np.float32),
    "c": rng.normal(size=(3, 2)).astype(np.float32),
}
PARAMS = jax.tree.map(lambda x: x[0], G)
LABELS = {"a": "x", "b": "y", "c": "x"}
PCGRAD = aggregators.pcgrad(key=None)
"""Of two players, without conflict; of all, the one that compiles fast."""
ABSENT = {
    "mean": (aggregators.mean(), oracle.mean),
    "imtl_g": (aggregators.imtl_g(), oracle.imtl_g),
    "pcgrad": (PCGRAD, lambda j: oracle.pcgrad(j, [range(len(j))] * len(j))),
}
SOME = np.array([True, False, True])


def reduced(tx, g, **extra):
    return stepping.step(tx, g, **extra)[0]


def joined(update):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(update)], dtype=float)


def flat(tree):
    leaves = [np.reshape(x, (len(x), -1)) for x in jax.tree.leaves(tree)]
    return np.concatenate(leaves, axis=1, dtype=np.float64)


@pytest.mark.fast("label")
@pytest.mark.parametrize(
    ("scope", "groups"),
    [
        (neo.per_leaf, ["a", "b", "c"]),
        (neo.whole_tree, ["abc"]),
        (neo.by_label(LABELS), ["ac", "b"]),
    ],
    ids=["leaf", "tree", "label"],
)
def test_scopes_are_groups_aggregated_by_themselves(scope, groups):
    update = reduced(aggregators.pcgrad(key=None, scope=scope), G)
    for group in groups:
        members = {name: G[name] for name in group}
        expected = oracle.pcgrad(flat(members), [range(3)] * 3)
        actual = np.concatenate([np.ravel(update[name]) for name in group])
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ABSENT)
def test_absent_players_are_left_out(name):
    """And without any the update is zero."""
    tx, exact = ABSENT[name]
    expected = exact(flat(G)[SOME])
    np.testing.assert_allclose(
        joined(reduced(tx, G, present=SOME)), expected, 1e-4, 1e-5
    )
    assert not np.any(joined(reduced(tx, G, present=np.zeros(3, bool))))


@pytest.mark.parametrize("factory", [aggregators.aligned_mtl, aggregators.mean])
def test_preference_as_an_argument_of_update(factory):
    given = (0.5, 0.25, 1.0)
    once = reduced(factory(preference=given), G["b"])
    other = factory(preference=(9.0, 9.0, 9.0))
    per_step = reduced(other, G["b"], preference=np.array(given))
    properties.assert_trees_close(once, per_step)


def test_a_player_that_is_not_finite_is_dropped_and_counted():
    tx = aggregators.pcgrad(key=None, num_players=3, monitor=True)
    expected = ABSENT["pcgrad"][1](flat(G)[SOME])
    for bad in (np.nan, np.inf, -np.inf):
        broken = {**G, "b": G["b"].copy()}
        broken["b"][1, 3] = bad
        update, state = stepping.step(tx, broken)
        np.testing.assert_allclose(joined(update), expected, 1e-4, 1e-5)
        assert neo.diagnostics(state)["dropped"].latest == 1


def test_raise_nonfinite_eager_and_under_checkify():
    tx = aggregators.aggregate(aggregators.mean_weights, raise_nonfinite=True)
    broken = {**G, "b": G["b"].copy()}
    broken["b"][1, 3] = np.nan
    state = tx.init(PARAMS)
    sentence = r"must be finite for every player, got 1 that are not\. Of losses in one"
    with pytest.raises(Exception, match=sentence):
        tx.update(broken, state)
    tx.update(G, state)
    tx.update(broken, state, present=SOME)
    checked = jax.jit(checkify.checkify(tx.update))
    error, _ = checked(broken, state)
    with pytest.raises(checkify.JaxRuntimeError, match=sentence):
        error.throw()
    error, (update, _) = checked(G, state)
    error.throw()
    properties.assert_finite(update)


def test_second_batch_gives_cross_products():
    def cross(players):
        return jnp.sum(players.cross, axis=1) * players.scale**2

    weighting = aggregators.stateless_weighting(cross)
    second = jax.tree.map(lambda x: x[::-1], G)
    update = reduced(aggregators.aggregate(weighting), G, second_batch=second)
    weights = np.sum(flat(G) @ flat(second).T, axis=1)
    np.testing.assert_allclose(joined(update), weights @ flat(G), rtol=1e-4, atol=1e-4)


def conflict(tree, update):
    return oracle.conflict(flat(tree), joined(update))


OPPOSED = {
    "a": np.array([[1.0, 0.2], [-1.0, 0.3]], np.float32),
    "b": np.array([[0.1], [0.5]], np.float32),
}
METRIC = {"a": np.array([0.1, 10.0], np.float32), "b": np.array([0.3], np.float32)}


def test_metric_holds_the_promise_for_the_divided_update():
    update = reduced(PCGRAD, OPPOSED, metric=METRIC)
    divided = jax.tree.map(np.divide, update, METRIC)
    plain = jax.tree.map(np.divide, reduced(PCGRAD, OPPOSED), METRIC)
    assert conflict(OPPOSED, divided) <= 1e-6
    assert conflict(OPPOSED, plain) > 0.01  # the promise was lost without it


@pytest.mark.slow
def test_metric_of_precondition():
    """The applied update harms nobody, though it is divided by Adam's root."""
    stacks = [{**OPPOSED, "b": scale * OPPOSED["b"]} for scale in (3.0, 1.0, 0.2)]
    updates, _ = stepping.play(neo.precondition(PCGRAD, decay=0.9), stacks)
    for g, update in zip(stacks, updates, strict=True):
        assert conflict(g, update) <= 1e-5


def test_complex_none_and_empty_leaves():
    pair = rng.normal(size=(2, 3, 4)).astype(np.float32)
    tree = {
        "complex": pair[0] + 1j * pair[1],
        "none": None,
        "empty": np.zeros((3, 0)),
        "mask": optax.MaskedNode(),
    }
    update = reduced(PCGRAD, tree)
    real = np.concatenate([pair[0], pair[1]], axis=1)
    expected = oracle.pcgrad(real, [range(3)] * 3)
    found = np.concatenate([np.real(update["complex"]), np.imag(update["complex"])])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert update["none"] is None
    assert update["empty"].shape == (0,)


def test_empty_tree_counts_its_steps():
    tx = aggregators.mean()
    update, state = tx.update({}, tx.init({}))
    assert update == {}
    assert state.step == 1


def test_low_precision_gradients_have_a_float32_gramian():
    """Bits below bfloat16's eight decide: 256 + 1 is 256 in its own sums."""
    seen = []

    def spy(gramian):
        seen.append(gramian.dtype)
        return jnp.diagonal(gramian) - 256

    g = np.array([[16.0, 1.0]] * 2).astype(jnp.bfloat16)
    update = reduced(aggregators.aggregate(spy), g)
    assert seen == [jnp.float32]
    assert update.dtype == jnp.bfloat16
    np.testing.assert_array_equal(update.astype(np.float32), [32.0, 2.0])


@pytest.mark.slow
def test_inside_optax_aggregating():
    """Which gives it per-example gradients, and what it returns to an optimizer."""
    tx = aggregators.imtl_g()
    clip = aggregators.per_player(optax.clip_by_global_norm(1.0), num_players=3)
    optimizer = aggregating.process(clip, tx, optax.sgd(0.5))
    update, _ = jax.jit(optimizer.update)(G, optimizer.init(PARAMS), PARAMS)
    expected = reduced(optax.chain(clip, tx, optax.sgd(0.5)), G)
    properties.assert_trees_close(update, expected, 1e-5, 1e-6)


@pytest.mark.slow
def test_before_adam_under_jit_scan_and_vmap():
    """One of three runs side by side, by hand: Adam's first steps have the rate's size.

    The combined gradients of IMTL-G are the same in each step.
    """
    tx = optax.chain(aggregators.imtl_g(), optax.adam(0.1))

    def train(g):
        def body(carry, _):
            params, state = carry
            update, state = tx.update(g, state, params)
            return (optax.apply_updates(params, update), state), None

        carry, _ = jax.lax.scan(body, (PARAMS, tx.init(PARAMS)), length=3)
        return carry[0]

    runs = jax.tree.map(lambda x: np.stack([x, 2 * x, -x]), G)
    together = jax.device_get(jax.jit(jax.vmap(train))(runs))
    for index, sign in enumerate((1, 1, -1)):
        ends = jax.tree.map(lambda x, i=index: x[i], together)
        moved = joined(ends) - joined(PARAMS)
        direction = np.sign(sign * oracle.imtl_g(flat(G)))
        np.testing.assert_allclose(moved, -0.3 * direction, rtol=1e-4)
