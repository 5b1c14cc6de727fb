import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from neat_optax.experiments.benchmarks import online
from neat_optax.experiments.benchmarks.continual import make_network_task
from neat_optax.experiments.benchmarks.online import Seeds, Stream
from neat_optax.experiments.data.datasets import Split

draw = np.random.default_rng(0)
X = draw.normal(size=(40, 6)).astype(np.float32)
EXAMPLES = Split(X, (X[:, 0] > 0).astype(np.int32))
STREAM = Stream(EXAMPLES, EXAMPLES, tasks=3, task_steps=200)
TASK = make_network_task(STREAM, (8, 6))


def sgd(rate, key):
    del key
    return optax.sgd(rate)


@functools.cache
def rows(first):
    """Of all tasks, [measure][tasks, rates, seeds], at rates 0 and .1."""
    trainer = online.make_trainer(sgd, TASK, STREAM, Seeds(first, 2), (0.0, 0.1))
    replicas, found = trainer.init(), []
    for number in range(STREAM.tasks):
        replicas, row = trainer.epoch(replicas, number)
        found.append(row)
    shape = STREAM.tasks, 2, 2
    return {key: np.array([x[key] for x in found]).reshape(shape) for key in found[0]}


@pytest.mark.slow
def test_what_is_learned_is_judged_before():
    """At a rate of zero it is the first network's accuracy on what was drawn."""
    params = TASK.init(nnx.Rngs(jax.random.fold_in(jax.random.key(0), 5)))
    drawn = online._drawn(EXAMPLES, 5, 1, STREAM.task_steps)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 5), 1)
    seen = drawn._replace(x=jax.random.permutation(key, drawn.x, axis=-1))
    expected = TASK.scores(params, seen)["accuracy"]
    np.testing.assert_allclose(rows(5)["accuracy"][1, 0, 0], expected, atol=1e-6)


@pytest.mark.slow
def test_a_network_learns_what_it_can():
    still, learned = np.moveaxis(rows(5)["accuracy"], 1, 0)
    assert (learned > still).all()
    assert learned.mean() > still.mean() + 0.15


@pytest.mark.slow
def test_a_seed_means_the_same_wherever_it_stands():
    for key, values in rows(5).items():
        np.testing.assert_allclose(values[:, :, 1], rows(6)[key][:, :, 0], rtol=1e-4)


@pytest.mark.slow
def test_health_is_of_all_layers():
    params = jax.eval_shape(lambda: TASK.init(nnx.Rngs(0)))
    blank = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), params)
    found = jax.jit(functools.partial(online._health, TASK))(blank, EXAMPLES)
    assert (found["dormant"], found["weight_norm"], found["effective_rank"]) == (
        1,
        0,
        0,
    )
    assert found["gradient_norm"] > 0  # of the last bias
