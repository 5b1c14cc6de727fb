"""Flax linen on scikit-learn's digits: UPGrad between the micro-batches of a batch."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

from neat_optax import aggregators, training

images, labels = load_digits(return_X_y=True)
images, labels = (images / 16).astype(np.float32), labels.astype(np.int32)
train, held_out = (images[:1500], labels[:1500]), (images[1500:], labels[1500:])
net = nn.Sequential([nn.Dense(64), nn.relu, nn.Dense(10)])
variables = net.init(jax.random.key(0), images[:1])


def loss(model, batch):
    logits = model(batch[0])
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch[1])


def metrics(model, batch):
    return {"accuracy": jnp.argmax(model(batch[0]), axis=-1) == batch[1]}


tx = optax.chain(aggregators.upgrad(), optax.adam(3e-3))
players = training.microbatches(5)
model = training.from_linen(net, variables)
step = training.player_train_step(model, loss, tx, players=players)
state, history = training.fit(
    step, train, epochs=20, batch_size=50, validation=held_out, metrics=metrics
)
print(f"held-out accuracy {history['val_accuracy'][-1]:.3f}")
