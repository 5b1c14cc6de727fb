import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import neat_optax as neo
import running
from neat_optax import aggregators
from properties import assert_trees_close

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype(np.float32)
Y = RNG.normal(size=(6, 2)).astype(np.float32)
PARAMS = {
    "trunk": {"w": RNG.normal(size=(4, 3)).astype(np.float32)},
    "heads": {
        "a": RNG.normal(size=3).astype(np.float32),
        "b": RNG.normal(size=3).astype(np.float32),
    },
}
WEIGHTS = np.array([2.0, -0.5], np.float32)


def trunk(params, x):
    return {"hidden": jnp.tanh(x @ params["w"])}


def first(heads, features, y):
    return jnp.mean((features["hidden"] @ heads["a"] - y[:, 0]) ** 2)


def second(heads, features, y):
    return jnp.mean(jnp.abs(features["hidden"] @ heads["b"] - y[:, 1]))


FORMS = {
    "array": lambda *given: jnp.stack([first(*given), second(*given)]),
    "dictionary": lambda *given: {"a": first(*given), "b": second(*given)},
    "functions": [first, second],
}


def losses_of(params, x, y):
    features = trunk(params["trunk"], x)
    given = params["heads"], features, y
    return jnp.stack([first(*given), second(*given)])


@running.quick_jit
def everything(params, x, y):
    """By features in every form, and by parameters."""
    found = {}
    for name, heads in FORMS.items():
        of_features = neo.value_and_feature_grads(trunk, heads)
        losses, gradients, pullback = of_features(params, x, y)
        update = jax.tree.map(lambda g: jnp.tensordot(WEIGHTS, g, 1), gradients)
        found[name] = losses, gradients["heads"], pullback(update)
    losses, gradients = neo.value_and_player_grads(losses_of)(params, x, y)
    weighted = jax.tree.map(lambda g: jnp.tensordot(WEIGHTS, g, 1), gradients)
    return found, (losses, gradients["heads"], weighted)


def test_fixed_weights_give_the_same_by_features_and_by_parameters():
    """A weighted sum of feature gradients pulls back to that of the parameters'."""
    found, expected = jax.device_get(everything(PARAMS, X, Y))
    for name in FORMS:
        assert_trees_close(found[name], expected, rtol=1e-5, atol=1e-6)


@running.quick_jit
def identity(params, y):
    """A trunk that is its parameters."""
    of_features = neo.value_and_feature_grads(lambda p, _: p, FORMS["array"])
    losses, gradients, pullback = of_features(params, (), y)
    tx = aggregators.mean()
    update = tx.update(gradients, tx.init(params))[0]
    exact = neo.value_and_player_grads(
        lambda p: FORMS["array"](p["heads"], p["trunk"], y)
    )
    return (losses, gradients, pullback(update)), exact(params), update


def test_an_identity_for_a_trunk_gives_the_gradients_by_parameters():
    features = {"hidden": RNG.normal(size=(6, 3)).astype(np.float32)}
    params = {"trunk": features, "heads": PARAMS["heads"]}
    found, (losses, gradients), update = jax.device_get(identity(params, Y))
    expected = losses, {"features": gradients["trunk"], "heads": gradients["heads"]}
    assert_trees_close(found[:2], expected, rtol=1e-6)
    expected = {"trunk": update["features"], "heads": update["heads"]}
    assert_trees_close(found[2], expected, rtol=1e-6)


def test_a_direction_of_features_may_harm_a_player_through_the_trunk():
    """`K` is the product of the trunk's derivative with itself: `g_1.K d < 0`."""
    stretch = np.array([[10.0, 0.0], [0.0, 1.0]], np.float32)
    players = np.array([[1.0, 2.0], [-1.0, 0.0]], np.float32)
    direction = np.array([-0.5, 1.0], np.float32)
    assert (players @ direction > 0).all()
    of_features = neo.value_and_feature_grads(
        lambda p, _: stretch @ p, lambda _, z: players @ z
    )

    @running.quick_jit
    def along(p):
        _, gradients, pullback = of_features({"trunk": p, "heads": ()}, None)
        step = pullback({"features": direction, "heads": ()})["trunk"]
        return gradients["features"], gradients["features"] @ stretch @ step

    found, changes = along(np.zeros(2, np.float32))
    np.testing.assert_array_equal(found, players)
    np.testing.assert_allclose(changes, [-48.0, 50.0])


def test_training_in_a_scan_with_aux():
    """The pullback leaves a compiled function; heads keep their player's gradient."""
    of_features = neo.value_and_feature_grads(
        lambda *given: (trunk(*given), "kept"),
        lambda *given: (FORMS["dictionary"](*given), jnp.float32(7)),
        has_aux=True,
    )
    shared = {"features": True, "heads": False}
    reduce = neo.aggregate_shared(aggregators.mean(), shared)
    optimizer = optax.sgd(0.1)

    def step(carry, _):
        params, (own, state) = carry
        (losses, aux), gradients, pullback = of_features(params, X, Y)
        assert aux[0] == "kept"
        update, own = reduce.update(gradients, own)
        updates, state = optimizer.update(pullback(update), state, params)
        return (optax.apply_updates(params, updates), (own, state)), (losses, aux[1])

    @running.quick_jit
    def run(params):
        one = {"features": trunk(params["trunk"], X), "heads": params["heads"]}
        start = params, (reduce.init(one), optimizer.init(params))
        return jax.lax.scan(step, start, length=20)

    _, (losses, sevens) = run(PARAMS)
    assert (losses[-1] < losses[0]).all()
    assert (sevens == 7).all()


@pytest.mark.slow
def test_nnx_modules_that_are_split():
    rngs = nnx.Rngs(0)
    trunk_graph, trunk_params = nnx.split(nnx.Linear(4, 3, rngs=rngs))
    heads_graph, heads_params = nnx.split(nnx.Linear(3, 2, rngs=rngs))
    of_features = neo.value_and_feature_grads(
        lambda p, x: nnx.merge(trunk_graph, p)(x),
        lambda p, z, y: jnp.mean((nnx.merge(heads_graph, p)(z) - y) ** 2, axis=0),
    )
    compiled = jax.jit(of_features)
    _, gradients, pullback = compiled(
        {"trunk": trunk_params, "heads": heads_params}, X, Y
    )
    assert gradients["features"].shape == (2, 6, 3)
    update = jax.tree.map(lambda g: g.sum(axis=0), gradients)
    found = jax.jit(lambda pullback, update: pullback(update))(pullback, update)
    assert jax.tree.structure(found["trunk"]) == jax.tree.structure(trunk_params)
    exact = jax.grad(
        lambda p: jnp.sum(
            jnp.mean((nnx.merge(heads_graph, heads_params)(p) - Y) ** 2, axis=0)
        )
    )(nnx.merge(trunk_graph, trunk_params)(X))
    np.testing.assert_allclose(update["features"], exact, rtol=1e-5)


OF_FEATURES = neo.value_and_feature_grads(trunk, FORMS["array"])


def test_errors():
    trace = functools.partial(jax.eval_shape, OF_FEATURES)
    with pytest.raises(ValueError, match='a dictionary with "trunk" and "heads", got'):
        trace({"trunk": PARAMS["trunk"]}, X, Y)
    with pytest.raises(ValueError, match="`params` must have floating or complex"):
        trace({"trunk": {"w": np.ones((4, 3), int)}, "heads": PARAMS["heads"]}, X, Y)
    with pytest.raises(ValueError, match="`update` must have the shapes of `features"):
        jax.eval_shape(lambda: (found := OF_FEATURES(PARAMS, X, Y))[2](found[1]))
    with pytest.raises(ValueError, match="`trunk_fn` must be a function"):
        neo.value_and_feature_grads(None, FORMS["array"])
