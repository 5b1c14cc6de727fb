"""Flax's models: factored gradients are those of every example."""

import functools

import equinox
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import neat_optax as neo
from neat_optax import _factored, aggregators
from properties import assert_trees_close

P = 4
RNG = np.random.default_rng(0)


class Convolutional(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(16, (3, 3), strides=2)(x))
        x = nn.GroupNorm(4)(nn.Conv(16, (3, 3), feature_group_count=4)(x)) + x
        x = nn.LayerNorm()(nn.Conv(32, (2, 2), padding="VALID")(x))
        return nn.Dense(5)(x.reshape(-1))


class Transformer(nn.Module):
    @nn.compact
    def __call__(self, ids):
        embed = nn.Embed(60, 32)
        x = embed(ids) + self.param("places", nn.initializers.normal(), (6, 32))
        for _ in range(2):
            x = x + nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(x))
            x = x + nn.Dense(32)(nn.gelu(nn.Dense(64)(nn.LayerNorm()(x))))
        return jnp.mean(embed.attend(x), axis=0)


class Recurrent(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(5)(nn.RNN(nn.GRUCell(8))(x)[-1])


class Remat(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(5)(nn.tanh(nn.remat(nn.Dense)(16)(x)))


class Residual(nn.Module):
    @nn.compact
    def __call__(self, x):
        for features, stride in ((8, 1), (16, 2)):
            y = nn.Conv(features, (3, 3), stride, use_bias=False)(x)
            y = nn.Conv(features, (3, 3), kernel_dilation=2)(
                nn.relu(nn.GroupNorm(4)(y))
            )
            x = nn.relu(nn.GroupNorm(4)(y) + nn.Conv(features, (1, 1), stride)(x))
        return nn.Dense(5)(jnp.mean(x, axis=(0, 1)))


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        y = nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x))
        return x + nn.Dense(16)(nn.gelu(nn.Dense(32)(x + y))), None


class Scanned(nn.Module):
    """Patches of an image, and layers whose weights are stacked."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(16, (4, 4), strides=4)(x).reshape(-1, 16)
        x = x + self.param("places", nn.initializers.normal(), (4, 16))
        split = {"params": True}
        layers = nn.scan(nn.remat(Layer), {"params": 0}, split_rngs=split, length=3)
        return nn.Dense(5)(jnp.mean(layers()(x, None)[0], axis=0))


IMAGES = RNG.normal(size=(P, 8, 8, 3)).astype(np.float32)
MODELS = {
    "convolutional": (Convolutional(), IMAGES),
    "residual": (Residual(), IMAGES),
    "scanned vision transformer": (Scanned(), IMAGES),
    "transformer": (Transformer(), RNG.integers(0, 60, (P, 6))),
    "recurrent": (Recurrent(), RNG.normal(size=(P, 7, 3)).astype(np.float32)),
    "remat": (Remat(), RNG.normal(size=(P, 9)).astype(np.float32)),
}
LABELS = RNG.integers(0, 5, P)


def cross_entropy(logits, label):
    return optax.softmax_cross_entropy_with_integer_labels(logits, label)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_linen(name):
    model, x = MODELS[name]
    params = jax.jit(model.init)(jax.random.key(0), x[0])

    def loss(params, x, label):
        return cross_entropy(model.apply(params, x), label)

    @functools.partial(jax.jit, static_argnums=0)
    def gradients(factored, params):
        found = neo.value_and_example_grads(loss, factored=factored)(params, x, LABELS)
        return _factored.explicit(found)

    found, expected = (
        jax.device_get(gradients(kind, params)) for kind in (True, False)
    )
    assert_trees_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_equinox():
    model = equinox.nn.MLP(9, 5, 12, 2, key=jax.random.key(0))
    params, static = equinox.partition(model, equinox.is_inexact_array)
    x = RNG.normal(size=(P, 9)).astype(np.float32)

    def loss(params, x, label):
        return cross_entropy(equinox.combine(params, static)(x), label)

    @functools.partial(jax.jit, static_argnums=0)
    def gradients(factored):
        return neo.value_and_example_grads(loss, factored=factored)(params, x, LABELS)

    _, kept = jax.eval_shape(lambda: gradients(True))
    assert all(map(_factored.is_factored, _factored.flatten(kept)[0]))
    found = _factored.explicit(gradients(True))
    assert_trees_close(*jax.device_get((found, gradients(False))), rtol=1e-5, atol=1e-6)


class TwoLayers(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.layer = nnx.Linear(12, 12, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(12, 5, rngs=rngs)

    def __call__(self, x):
        return self.head(self.dropout(nnx.relu(self.layer(self.layer(x)))))


def loss_of_module(model, x, label):
    return cross_entropy(model(x), label)


@pytest.mark.slow
def test_nnx_steps_with_factored_gradients():
    """A layer used twice, and dropout with a key for each example."""

    @functools.partial(nnx.jit, static_argnums=0)
    def step(factored, model, optimizer, x):
        of_each = neo.value_and_example_grads(loss_of_module, factored=factored)
        losses, gradients = of_each(model, x, LABELS)
        optimizer.update(model, gradients, losses=losses)
        return losses

    x, found = RNG.normal(size=(P, 12)).astype(np.float32), []
    for kind in (True, False):
        model = TwoLayers(nnx.Rngs(0, dropout=1))
        tx = optax.chain(aggregators.upgrad(), optax.sgd(0.1))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        losses = [step(kind, model, optimizer, x) for _ in range(3)]
        found.append((losses, nnx.to_pure_dict(nnx.state(model, nnx.Param))))
    assert_trees_close(*jax.device_get(found), rtol=1e-4, atol=1e-5)
