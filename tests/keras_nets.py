"""Digits of scikit-learn, small Keras networks for them, and the same step in optax."""

import functools
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
import optax
from sklearn.datasets import load_digits

BATCH = 32
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@functools.cache
def digits(count=128):
    """The first images [count, 64] in [0, 1], and their labels."""
    images, labels = load_digits(return_X_y=True)
    return (images[:count] / 16).astype("float32"), labels[:count].astype("int32")


def network(kind=keras.Sequential, *hidden, width=8):
    """A network with seeded weights, and what `hidden` make between its two layers."""
    keras.utils.set_random_seed(3)
    return kind(
        [
            keras.Input((64,), name="pixels"),
            keras.layers.Dense(width, activation="relu", name="first"),
            *(make() for make in hidden),
            keras.layers.Dense(10, name="last"),
        ],
        name="net",
    )


def train(model, optimizer, epochs=2, count=128, callbacks=(), **options):
    """A run of `fit` on batches in their order; returns what it logged."""
    if optimizer is not None:
        model.compile(optimizer, loss=LOSS, metrics=["accuracy"], **options)
    data = digits(count)
    run = model.fit(
        *data,
        batch_size=BATCH,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    return run.history


def weights(model):
    """Trainable weights by the path below the network."""
    return {
        v.path.removeprefix("net/"): np.asarray(v.value)
        for v in model.trainable_variables
    }


def bare_loop(model, tx, epochs=2, count=128):
    """The weights after as many steps of a loop that knows optax only."""
    paths = [v.path.removeprefix("net/") for v in model.trainable_variables]
    values = [v.value for v in model.trainable_variables]
    params = dict(zip(paths, map(np.asarray, values), strict=True))
    others = [v.value for v in model.non_trainable_variables]

    def loss_fn(params, x, y):
        ordered = [params[path] for path in paths]
        outputs, _ = model.stateless_call(ordered, others, x, training=True)
        return LOSS(y, outputs)

    @jax.jit
    def step(params, state, x, y):
        grads = jax.grad(loss_fn)(params, x, y)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    images, labels = digits(count)
    state = tx.init(params)
    for _ in range(epochs):
        for begin in range(0, count, BATCH):
            here = slice(begin, begin + BATCH)
            params, state = step(params, state, images[here], labels[here])
    return jax.tree.map(np.asarray, params)


def assert_same(model, expected, tolerance=1e-6):
    """Raises unless all weights of a model are the expected ones."""
    found = weights(model)
    assert found.keys() == expected.keys()
    for path, value in found.items():
        np.testing.assert_allclose(value, expected[path], rtol=0, atol=tolerance)
