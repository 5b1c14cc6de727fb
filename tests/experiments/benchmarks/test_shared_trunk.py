import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import running
from neat_optax.experiments.benchmarks.shared_trunk import (
    losses_of,
    separate_task,
    shared_task,
)
from neat_optax.experiments.data.parts import Data, Split

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
LABELS = {
    "labels": np.int32(X[:, :2] > 0),
    "classes": np.int32([[0, 1], [2, 0], [1, 1], [0, 2], [2, 2], [1, 0]]),
    "targets": np.float32([100, 0.01]) * X[:, :2],
}


def data(kind):
    split = Split(X, LABELS[kind])
    return Data(split, split, split)


def draw(task):
    like = jax.eval_shape(lambda: task.init(nnx.Rngs(0)))
    normal = np.random.default_rng(1).normal
    return jax.tree.map(lambda x: normal(size=x.shape).astype(x.dtype), like)


@pytest.mark.parametrize("kind", LABELS)
def test_losses_and_scores_are_of_each_task(kind):
    task = shared_task(data(kind), (4, 5))
    params = jax.eval_shape(lambda: task.init(nnx.Rngs(0)))
    extra, gradients = jax.eval_shape(task.gradients, params, data(kind).train)
    assert extra["losses"].shape == (2,)
    assert [x.shape for x in gradients["trunk"]] == [(2, 4, 4), (2, 5, 5)]
    scores = jax.eval_shape(task.scores, params, data(kind).test)
    assert set(scores) == {"accuracy", "task_0", "task_1"}


def test_only_the_trunk_is_aggregated():
    of_trunk = shared_task(data("labels"), (4,))
    of_all = shared_task(data("labels"), (4,), all_shared=True)
    params = draw(of_trunk)

    @running.quick_jit
    def both(params):
        first = optax.stateless(lambda u, _: jax.tree.map(lambda g: g[0], u))
        found = of_trunk.gradients(params, data("labels").train)[1]
        kept = [task.aggregate(first) for task in (of_trunk, of_all)]
        return found, [tx.update(found, tx.init(params), params)[0] for tx in kept]

    found, (trunk, everything) = both(params)
    np.testing.assert_array_equal(trunk["trunk"][0], found["trunk"][0][0])
    np.testing.assert_allclose(trunk["heads"], found["heads"].sum(0))
    np.testing.assert_array_equal(everything["heads"], found["heads"][0])
    assert np.abs(found["heads"][0][1]).max() == 0  # a head is one player's


def test_tasks_apart_lose_what_they_lose_alone():
    labels = data("targets")
    task, losses = separate_task(labels, (4,)), losses_of(labels)
    params = draw(task)
    assert params["trunk"][0].shape == (2, 4, 4)

    @running.quick_jit
    def values(params):
        alone = [
            {"trunk": [x[i] for x in params["trunk"]], "heads": params["heads"]}
            for i in range(2)
        ]
        together, found = task.gradients(params, labels.train)
        own = [losses(one, labels.train)[i] for i, one in enumerate(alone)]
        gradient = jax.grad(lambda p: losses(p, labels.train)[1])(alone[1])
        return together["losses"], jnp.stack(own), found, gradient

    together, own, found, gradient = values(params)
    np.testing.assert_allclose(together, own, rtol=1e-5)
    np.testing.assert_allclose(found["trunk"][0][1], gradient["trunk"][0], rtol=1e-4)
    assert task.num_players is None
