"""Small models and data that the tests of training share, compiled once."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from neat_optax import training

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(22, 3)).astype(np.float32)
Y = _RNG.integers(0, 2, 22)
BATCH = X[:8], Y[:8]


class Net(nnx.Module):
    """A layer with dropout and statistics of batches."""

    def __init__(self, rngs):
        self.linear = nnx.Linear(3, 2, rngs=rngs)
        self.norm = nnx.BatchNorm(2, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.linear(x)))


class LinenNet(nn.Module):
    """The same in linen."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(2)(x))
        return nn.Dropout(0.5, deterministic=not train)(x)


def cross_entropy(logits, labels):
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)


def loss(model, batch):
    return cross_entropy(model(batch[0]), batch[1])


def linen_loss(model, batch):
    return cross_entropy(model(batch[0], train=True), batch[1])


def metrics(model, batch):
    return {"loss": loss(model, batch)}


@functools.cache
def nnx_model():
    return training.from_nnx(Net(nnx.Rngs(0)))


@functools.cache
def linen_model():
    variables = jax.jit(LinenNet().init)(jax.random.key(0), X)
    return training.from_linen(LinenNet(), variables, rngs=("dropout",))


def linear():
    """A model without anything random: `x @ w`."""
    return training.from_function(lambda w, x: x @ w, np.zeros((3, 2), np.float32))


@functools.cache
def compiled(update):
    return jax.jit(update)


def same(one, other):
    """Raises unless two states are equal bit for bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


class Stop(training.Callback):
    """Ends a training in the middle, as an interrupt does."""

    def __init__(self, step):
        self.step = step

    def on_batch_end(self, step, logs):
        del logs
        if step >= self.step:
            raise KeyboardInterrupt
