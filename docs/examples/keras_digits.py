"""Digits in Keras: NEAT as the optimizer, then examples as players inside of `fit`."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import optax
from sklearn.datasets import load_digits

import neat_optax as neo
from neat_optax.keras import NEAT, DiagnosticsCallback, ExamplePlayers, OptaxOptimizer

images, labels = load_digits(return_X_y=True)
train, test = (images[:1408] / 16, labels[:1408]), (images[1408:] / 16, labels[1408:])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
options = {"loss": loss, "metrics": ["accuracy"]}


class PlayerNet(ExamplePlayers, keras.Sequential):
    """A stack of layers that is trained on the gradients of groups of examples."""


def build(kind):
    """A network with seeded weights."""
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(64, activation="relu")
    return kind([keras.Input((64,)), hidden, keras.layers.Dense(10)])


model = build(keras.Sequential)
model.compile(NEAT(learning_rate=0.5), **options)
model.fit(*train, 64, epochs=5, verbose=2, callbacks=[DiagnosticsCallback()])
print("NEAT:", model.evaluate(*test, verbose=0, return_dict=True))

chain = optax.chain(neo.aggregators.upgrad(num_players=8), optax.adam(3e-3))
model = build(PlayerNet)
model.compile(OptaxOptimizer(chain), num_players=8, **options)
model.fit(*train, 64, epochs=5, verbose=2)
print("UPGrad:", model.evaluate(*test, verbose=0, return_dict=True))
