import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from neat_optax.experiments.data import datasets
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task


@pytest.fixture(scope="module")
def labels():
    """A small data set of three labels."""
    x = np.asarray(jax.random.normal(jax.random.key(0), (12, 5)))
    y = np.asarray(x[:, :3] > 0, np.int32)
    split = Split(x, y)
    return Data(split, split, split)


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


@pytest.mark.parametrize("name", ["wine", "labels"])
@pytest.mark.parametrize("num_players", [4, 12])
def test_groups_average_to_the_batch(name, num_players, request):
    loaded = request.getfixturevalue(name)
    plain, groups = make_task(loaded), make_task(loaded, "examples", num_players)
    params = plain.init(nnx.Rngs(0))
    extra, gradient = jax.jit(plain.gradients)(params, batch(loaded))
    loss = extra["losses"]
    extra, gradients = jax.jit(groups.gradients)(params, batch(loaded))
    losses = extra["losses"]
    assert losses.shape == (num_players,)
    np.testing.assert_allclose(losses.mean(), loss, rtol=1e-5)
    assert_trees_close(mean(gradients), gradient)


def test_tasks_average_to_the_batch(labels):
    plain, tasks = make_task(labels), make_task(labels, "tasks")
    assert (plain.num_players, tasks.num_players) == (None, 3)
    params = plain.init(nnx.Rngs(0))
    extra, gradient = jax.jit(plain.gradients)(params, batch(labels))
    of_players, gradients = jax.jit(tasks.gradients)(params, batch(labels))
    losses = of_players["losses"]
    np.testing.assert_allclose(losses.mean(), extra["losses"], rtol=1e-5)
    assert_trees_close(mean(gradients), gradient)


def test_tasks_aggregate_the_trunk_and_sum_the_heads(labels):
    task = make_task(labels, "tasks")
    params = task.init(nnx.Rngs(0))
    zero = optax.stateless(lambda u, _: jax.tree.map(lambda g: 0 * g[0], u))
    tx = task.aggregate(zero)
    _, gradients = task.gradients(params, batch(labels))
    updates, _ = tx.update(gradients, tx.init(params), params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(updates["trunk"]))
    for label in range(3):
        alone = jax.tree.map(lambda g, i=label: g[i], gradients["heads"][label])
        assert_trees_close(updates["heads"][label], alone)


def test_examples_aggregate_everything(wine):
    task = make_task(wine, "examples", 4)
    marker = optax.identity()
    assert task.aggregate(marker) is marker


def test_label_scores_are_scikit_learns(labels):
    from sklearn import metrics

    task = make_task(labels)
    params = task.init(nnx.Rngs(1))
    scores = task.scores(params, labels.test)
    split = make_task(labels, "tasks")
    assert scores.keys() == split.scores(params, labels.test).keys()
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
    relu = nnx.relu
    first, second = params["trunk"]["first"], params["trunk"]["second"]
    hidden = relu(labels.test.x @ first["kernel"] + first["bias"][None])
    hidden = relu(hidden @ second["kernel"] + second["bias"][None])
    heads = [params["heads"][i] for i in range(3)]
    logits = [hidden @ head["kernel"] + head["bias"][None] for head in heads]
    return np.asarray(jnp.concatenate(logits, axis=1) > 0, np.int32)


def test_activity_is_that_of_the_hidden_units(wine):
    task = make_task(wine)
    params = task.init(nnx.Rngs(0))
    some = batch(wine)
    found = task.activity(params, some.x)

    def layer(name, x):
        kernel, bias = (params["trunk"][name][key] for key in ("kernel", "bias"))
        return nnx.relu(x @ kernel + bias[None])

    first = layer("first", some.x)
    second = layer("second", first)
    for name, h in (("trunk/first", first), ("trunk/second", second)):
        np.testing.assert_allclose(found[name], h.mean(axis=0), rtol=1e-5)
    extra, _ = task.gradients(params, some)
    assert_trees_close(extra["activity"], found)


def test_layers_are_a_chain_where_there_is_one(wine, labels):
    assert make_task(wine).layers == ("trunk/first", "trunk/second", "last")
    assert make_task(labels).layers == ()
