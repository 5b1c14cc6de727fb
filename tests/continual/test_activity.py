"""Activities of Flax models, and a dead one that learns again."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import neat_optax as neo
import running
from layer_chains import inputs
from neat_optax.continual import layer_activity


class Net(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(3, 8, rngs=rngs)
        self.trunk = nnx.Sequential(nnx.Linear(8, 6, rngs=rngs), nnx.relu)
        self.head = nnx.Linear(6, 2, rngs=rngs)

    def __call__(self, x):
        return self.head(self.trunk(nnx.relu(self.first(x))))


NNX_LAYERS = ("first", "trunk/layers/0", "head")


def test_activities_of_an_nnx_model():
    graph, params = nnx.split(nnx.eval_shape(lambda: Net(nnx.Rngs(0))))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype("f4"), params)

    @jax.jit
    def called(params):
        model = nnx.merge(graph, params)
        run = nnx.capture(model, nnx.Intermediate, method_outputs=nnx.Intermediate)
        first = nnx.relu(model.first(inputs()))
        return run(inputs())[1], first, model.trunk(first)

    outputs, first, second = jax.device_get(called(params))
    measure = jax.jit(lambda given: layer_activity(given, NNX_LAYERS[:-1]))
    for given in (outputs, nnx.as_pure(outputs)):
        activity = measure(given)
        np.testing.assert_allclose(activity["first"], first.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(
            activity["trunk/layers/0"], second.mean(axis=0), rtol=1e-6
        )


def test_activations_with_their_sign():
    outputs = {"first": {"__call__": (np.float32([[1, -2], [3, -4]]),)}}
    found = layer_activity(outputs, ["first"], activation=lambda x: x, signed=True)
    assert found["first"].tolist() == [2.0, -3.0]


def test_activities_of_a_linen_model():
    class Linen(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.tanh(linen.Dense(8, name="first")(x))
            return linen.Dense(2, name="head")(x)

    model = Linen()
    params = jax.jit(model.init)(jax.random.key(0), inputs())["params"]

    @jax.jit
    def active(params):
        _, outputs = model.apply(
            {"params": params},
            inputs(),
            capture_intermediates=True,
            mutable=["intermediates"],
        )
        return layer_activity(outputs, ["first"], activation=jnp.tanh)

    activity = active(params)
    layer = inputs() @ np.asarray(params["first"]["kernel"])
    np.testing.assert_allclose(
        activity["first"], np.abs(np.tanh(layer)).mean(axis=0), rtol=1e-4
    )
    tx = neo.continual.reset_dormant(optax.adam(0.1), ("first", "head"), every=1)
    step = lambda: tx.update(params, tx.init(params), params, unit_activity=activity)  # noqa: E731
    jax.eval_shape(step)


def test_a_layer_that_is_called_twice_has_the_mean_of_both():
    called = np.ones((2, 3), np.float32), np.full((4, 5, 3), 3, np.float32)
    measure = jax.jit(lambda outputs: layer_activity(outputs, ["a"])["a"])
    assert measure({"a": {"__call__": called}}).tolist() == [2.0, 2.0, 2.0]


def accuracy_after_training(wrap):
    """Two rings, learnt by a network whose hidden units have all died."""
    rng = np.random.default_rng(0)
    angle, inside = rng.uniform(0, 2 * np.pi, 256), rng.random(256) < 0.5
    radius = np.where(inside, 0.5, 1.5)
    x = jnp.asarray(
        np.stack([radius * np.cos(angle), radius * np.sin(angle), angle * 0], axis=1),
        jnp.float32,
    )
    y = jnp.asarray(inside, jnp.int32)
    model = Net(nnx.Rngs(0))
    model.first.bias[...] = jnp.full(8, -100.0)
    model.trunk.layers[0].bias[...] = jnp.full(6, -100.0)
    optimizer = nnx.Optimizer(model, wrap(optax.adam(1e-2)), wrt=nnx.Param)
    run = nnx.capture(
        lambda model, x: model(x), nnx.Intermediate, method_outputs=nnx.Intermediate
    )

    @nnx.jit
    def step(model, optimizer):
        def loss_fn(model):
            logits, outputs = run(model, x)
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
            return loss, layer_activity(outputs, NNX_LAYERS[:-1])

        (_, activity), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model)
        optimizer.update(model, grads, unit_activity=activity)

    for _ in range(300):
        step(model, optimizer)
    return float(jnp.mean(model(x).argmax(axis=1) == y))


@pytest.mark.slow
@running.quickly()
def test_a_dead_network_learns_again():
    dead = accuracy_after_training(optax.with_extra_args_support)
    revived = accuracy_after_training(
        lambda inner: neo.continual.reset_dormant(inner, NNX_LAYERS, every=20)
    )
    assert dead < 0.6
    assert revived > 0.95


def test_outputs_that_were_not_recorded():
    message = r"^`outputs` must hold the output of the layer 'b', got those of a\.$"
    with pytest.raises(ValueError, match=message):
        layer_activity({"a": {"__call__": (np.ones((1, 2)),)}}, ["b"])
