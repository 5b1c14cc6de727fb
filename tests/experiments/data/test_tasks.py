import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from neat_optax import _factored
from neat_optax.experiments.data import datasets
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task


@pytest.fixture(scope="module")
def labels():
    """A small data set of three labels."""
    x = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    y = np.asarray(x[:, :3] > 0, np.int32)
    split = Split(x, y)
    return Data(split, split, split)


def start(task, seed=0):
    """Parameters of the task's network, drawn by NumPy, which compiles nothing."""
    like = jax.eval_shape(lambda: task.init(nnx.Rngs(0)))
    draw = np.random.default_rng(seed).normal
    return jax.tree.map(lambda x: draw(scale=0.2, size=x.shape).astype(x.dtype), like)


@pytest.fixture(scope="module")
def wine():
    return datasets.load("wine")


def batch(loaded, size=12):
    return Split(*(part[:size] for part in loaded.train))


def mean(tree):
    return jax.tree.map(lambda g: g.mean(0), tree)


def assert_trees_close(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def average_to_the_batch(plain, players, params, some):
    """What players' gradients are next to that of the batch, in one compiled call."""

    @jax.jit
    def both(params):
        extra, gradient = plain.gradients(params, some)
        of_players, gradients = players.gradients(params, some)
        gradients = _factored.explicit(gradients)
        return extra["losses"], gradient, of_players["losses"], gradients

    loss, gradient, losses, gradients = both(params)
    np.testing.assert_allclose(np.mean(losses), loss, rtol=1e-5)
    assert_trees_close(mean(jax.tree.map(np.asarray, gradients)), gradient)
    return losses


@pytest.mark.fast("wine-4")
@pytest.mark.parametrize(("name", "num_players"), [("wine", 4), ("labels", 12)])
def test_groups_average_to_the_batch(name, num_players, request):
    loaded = request.getfixturevalue(name)
    plain, groups = make_task(loaded), make_task(loaded, "examples", num_players)
    losses = average_to_the_batch(plain, groups, start(plain), batch(loaded))
    assert losses.shape == (num_players,)


@pytest.mark.slow
def test_factors_average_to_the_batch(wine):
    plain, groups = make_task(wine), make_task(wine, "examples", 4, factored=True)
    average_to_the_batch(plain, groups, start(plain), batch(wine))


def test_tasks_average_to_the_batch(labels):
    plain, tasks = make_task(labels), make_task(labels, "tasks")
    assert (plain.num_players, tasks.num_players) == (None, 3)
    average_to_the_batch(plain, tasks, start(plain), batch(labels))


def test_tasks_aggregate_the_trunk_and_sum_the_heads(labels):
    task = make_task(labels, "tasks")
    params = start(task)
    zero = optax.stateless(lambda u, _: jax.tree.map(lambda g: 0 * g[0], u))
    tx = task.aggregate(zero)
    random = np.random.default_rng(1)
    gradients = jax.tree.map(lambda x: random.normal(size=(3, *x.shape)), params)
    gradients = jax.tree.map(np.float32, gradients)
    step = jax.jit(lambda g, p: tx.update(g, tx.init(p), p)[0])
    updates = jax.tree.map(np.asarray, step(gradients, params))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(updates["trunk"]))
    for label in range(3):
        added = jax.tree.map(lambda g: g.sum(0), gradients["heads"][label])
        assert_trees_close(updates["heads"][label], added)


def test_examples_aggregate_everything(wine):
    task = make_task(wine, "examples", 4)
    marker = optax.identity()
    assert task.aggregate(marker) is marker


@pytest.mark.slow
def test_label_scores_are_scikit_learns(labels):
    from sklearn import metrics

    task = make_task(labels)
    params = start(task, 1)
    scores = jax.jit(task.scores)(params, labels.test)
    split = make_task(labels, "tasks")
    same = jax.eval_shape(split.scores, params, labels.test)
    assert scores.keys() == same.keys()
    chosen = chosen_labels(params, labels)
    expected = {
        "accuracy": 1 - metrics.hamming_loss(labels.test.y, chosen),
        "macro_f1": metrics.f1_score(
            labels.test.y, chosen, average="macro", zero_division=0
        ),
        "micro_f1": metrics.f1_score(labels.test.y, chosen, average="micro"),
        "subset_accuracy": metrics.accuracy_score(labels.test.y, chosen),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name], value, rtol=1e-6, err_msg=name)


def chosen_labels(params, labels):
    """Signs of the logits, recovered from the network by hand."""
    relu = functools.partial(np.maximum, 0)
    first, second = params["trunk"]["first"], params["trunk"]["second"]
    hidden = relu(labels.test.x @ first["kernel"] + first["bias"][None])
    hidden = relu(hidden @ second["kernel"] + second["bias"][None])
    heads = [params["heads"][i] for i in range(3)]
    logits = [hidden @ head["kernel"] + head["bias"][None] for head in heads]
    return np.asarray(np.concatenate(logits, axis=1) > 0, np.int32)


def test_activity_is_that_of_the_hidden_units(wine):
    task = make_task(wine)
    params = start(task)
    some = batch(wine)
    found, extra = jax.jit(
        lambda p: (task.activity(p, some.x), task.gradients(p, some)[0])
    )(params)

    def layer(name, x):
        kernel, bias = (params["trunk"][name][key] for key in ("kernel", "bias"))
        return np.maximum(0, x @ kernel + bias[None])

    first = layer("first", some.x)
    second = layer("second", first)
    for name, h in (("trunk/first", first), ("trunk/second", second)):
        np.testing.assert_allclose(found[name], h.mean(axis=0), rtol=1e-5)
    assert_trees_close(extra["unit_activity"], found)


def test_layers_are_a_chain_where_there_is_one(wine, labels):
    assert make_task(wine).layers == ("trunk/first", "trunk/second", "last")
    assert make_task(labels).layers == ()


def test_targets_are_scored_in_their_own_units():
    y = np.float32([[0, 300], [2, 100], [1, 200], [1, 200]])
    split = Split(np.zeros((4, 3), np.float32), y)
    task = make_task(Data(split, split, split), "tasks")
    params = jax.tree.map(np.zeros_like, start(task))  # predicts the means
    extra, scores = jax.jit(
        lambda p: (task.gradients(p, split)[0], task.scores(p, split))
    )(params)
    np.testing.assert_allclose(extra["losses"], [0.5, 5000], rtol=1e-6)
    assert scores.pop("accuracy") == 0  # explains nothing
    np.testing.assert_allclose(
        [scores["error_1"], scores["error_2"]], np.sqrt([0.5, 5000]), rtol=1e-6
    )
    assert task.num_players == 2
