"""Flax NNX on scikit-learn's digits: NEAT before Adam, a checkpoint, early stopping.

Run it twice: the second run goes on from the last checkpoint, and is done.
"""

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

import neat_optax as neo
from neat_optax import training

images, labels = load_digits(return_X_y=True)
images, labels = (images / 16).astype(np.float32), labels.astype(np.int32)
train, held_out = (images[:1500], labels[:1500]), (images[1500:], labels[1500:])
first, last = (nnx.Linear(64, size, rngs=nnx.Rngs(size)) for size in (64, 10))
net = nnx.Sequential(first, nnx.relu, last)


def loss(model, batch):
    logits = model(batch[0])
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch[1])


def metrics(model, batch):
    right = jnp.argmax(model(batch[0]), axis=-1) == batch[1]
    return {"loss": loss(model, batch), "accuracy": right}


tx = optax.chain(neo.neat_correction(0.25), optax.adam(3e-3))
step = training.train_step(training.from_nnx(net), loss, tx)
options = {"validation": held_out, "metrics": metrics, "checkpoint": "nnx_digits"}
stop = training.EarlyStopping("val_loss", patience=5)
result = training.fit(
    step, train, epochs=20, batch_size=50, callbacks=[stop], **options
)
training.update_module(net, result.state)
print(f"held-out accuracy {result.history['val_accuracy'][-1]:.3f}")
