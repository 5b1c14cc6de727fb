"""The training loop: batches scanned, replicas vmapped, one compiled call per epoch.

A replica is one seed at one learning rate. Everything random comes from the replica's
key and the number of the epoch, so that a run resumed from a checkpoint goes on exactly
as it would have.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from neat_optax.diagnostics import diagnostics
from neat_optax.training.data import Data, Split
from neat_optax.training.model import MLP

MEASURES = ("conflict", "opposed", "correction_ratio", "update_alignment")


class Replicas(NamedTuple):
    """Everything that changes in training; each leaf has a leading replica axis."""

    params: Any
    opt_state: Any


class Trainer(NamedTuple):
    """Jitted functions over all replicas at once."""

    init: Callable[[], Replicas]
    epoch: Callable[[Replicas, int], tuple[Replicas, dict[str, jax.Array]]]
    accuracy: Callable[[Any, Split], jax.Array]


def make_trainer(
    build: Callable[[jax.Array], optax.GradientTransformation],
    data: Data,
    *,
    seeds: int,
    rates: tuple[float, ...],
    batch_size: int,
) -> Trainer:
    """A trainer for every pair of rate and seed, in row-major order.

    Args:
      build: from a learning rate, which may be traced, to an optimizer.
      data: what to train on and validate with.
      seeds: number of seeds; the same seed starts from the same weights and sees the
        same batches at every rate and with every optimizer.
      rates: learning rates.
      batch_size: examples per step; the last incomplete batch is left out.
    """
    seed_numbers = jnp.tile(jnp.arange(seeds), len(rates))
    rate_numbers = jnp.repeat(jnp.asarray(rates, jnp.float32), seeds)
    make_model = functools.partial(MLP, data.train.x.shape[1], data.num_classes)
    graph = nnx.split(make_model(rngs=nnx.Rngs(0)))[0]

    def init_one(seed, rate):
        rngs = nnx.Rngs(jax.random.fold_in(jax.random.key(0), seed))
        params = nnx.state(make_model(rngs=rngs), nnx.Param)
        return Replicas(params, build(rate).init(params))

    def epoch_one(replica, seed, rate, number):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), seed), number)
        batches = _shuffle(key, data.train, batch_size)
        step = functools.partial(_step, graph, build(rate))
        replica, history = jax.lax.scan(step, replica, batches)
        measures = {name: jnp.mean(values) for name, values in history.items()}
        measures["validation_accuracy"] = accuracy_one(replica.params, data.validation)
        return replica, measures

    def accuracy_one(params, split):
        logits = nnx.merge(graph, params)(split.x)
        return jnp.mean(jnp.argmax(logits, axis=-1) == split.y)

    init_all = jax.jit(jax.vmap(init_one))
    epoch_all = jax.jit(jax.vmap(epoch_one, (0, 0, 0, None)), donate_argnums=0)
    return Trainer(
        init=lambda: init_all(seed_numbers, rate_numbers),
        epoch=lambda replicas, number: epoch_all(
            replicas, seed_numbers, rate_numbers, number
        ),
        accuracy=jax.jit(jax.vmap(accuracy_one, (0, None))),
    )


def _shuffle(key, split: Split, batch_size: int) -> Split:
    """The split in random order, with leading axes (batch, example)."""
    count = len(split.y) // batch_size
    order = jax.random.permutation(key, len(split.y))[: count * batch_size]
    order = order.reshape(count, batch_size)
    return Split(jnp.asarray(split.x)[order], jnp.asarray(split.y)[order])


def _step(graph, optimizer, replica: Replicas, batch: Split):
    def loss(params):
        logits = nnx.merge(graph, params)(batch.x)
        return jnp.mean(
            optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch.y)
        )

    value, gradient = jax.value_and_grad(loss)(replica.params)
    updates, opt_state = optimizer.update(gradient, replica.opt_state, replica.params)
    params = optax.apply_updates(replica.params, updates)
    measured = diagnostics(opt_state)
    history = {name: measured[name].latest for name in MEASURES}
    return Replicas(params, opt_state), {"loss": value, **history}
