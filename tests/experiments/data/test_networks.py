import jax
import numpy as np
import pytest
from flax import nnx

import running
from neat_optax import _factored
from neat_optax.experiments.data import datasets, networks
from neat_optax.experiments.data.parts import Data, Split
from neat_optax.experiments.data.tasks import make_task
from properties import assert_trees_close


def make(x, y):
    part = Split(x, np.asarray(y, np.int32))
    return Data(part, part, part)


def images(labels):
    rng = np.random.default_rng(0)
    return make(rng.normal(size=(len(labels), 64)).astype(np.float32), labels)


PAIRS = images([[0, 2], [1, 1], [2, 0], [2, 1]])
WORDS = np.array([[2, 3, 0], [4, 0, 0], [2, 4, 3], [3, 0, 0]], np.int32)


def test_every_data_set_has_a_usual_network():
    for name in datasets.LOADERS:
        fitting = networks.models_for(name)
        assert set(fitting) <= set(networks.MODELS)
        assert callable(networks.choose(name)) and callable(
            networks.choose(name, fitting[-1])
        )
    assert networks.choose("wine") is networks.usual


@pytest.mark.parametrize(
    ("name", "model"), [("wine", "cnn"), ("sst-2", "mlp"), ("digits", "transformer")]
)
def test_networks_of_another_kind_of_input_are_refused(name, model):
    with pytest.raises(ValueError, match=f"`model` must be .*{model}"):
        networks.choose(name, model)


def shapes_of(data, network, players=None):
    task = make_task(data, players, None, network)

    def all_of(split):
        params = task.init(nnx.Rngs(0))
        extra, gradients = task.gradients(params, split)
        return params, extra, gradients, task.scores(params, split)

    return task, *jax.eval_shape(all_of, data.train)


def test_pairs_get_a_head_each_and_their_accuracies():
    network = networks.choose("digits", "cnn")
    task, params, extra, gradients, scores = shapes_of(PAIRS, network, "tasks")
    assert task.num_players == 2
    assert extra["losses"].shape == (2,)
    assert [x["kernel"].shape for x in params["heads"].values()] == [(64, 3)] * 2
    assert gradients["trunk"]["first"]["kernel"].shape == (2, 3, 3, 1, 16)
    assert set(scores) == {"accuracy", "accuracy_1", "accuracy_2"}


def test_players_of_pairs_share_the_trunk_alone():
    network = networks.choose("digits", "resnet")
    shared = make_task(PAIRS, "tasks", None, network).aggregate.keywords["shared"]
    assert all(jax.tree.leaves(shared["trunk"]))
    assert not any(jax.tree.leaves(shared["heads"]))


def test_units_of_a_convolution_have_an_activity():
    network = networks.choose("digits", "cnn")
    task, _, extra, *_ = shapes_of(images([0, 1, 2, 1]), network)
    found = {name: x.shape for name, x in extra["unit_activity"].items()}
    assert found == {
        "trunk/first": (16,), "trunk/second": (32,), "trunk/third": (64,)
    }  # fmt: skip
    assert task.layers == ()  # not a chain of dense layers


@pytest.mark.fast("characters")
@pytest.mark.parametrize("kind", ["sentences", "characters"])
def test_text_is_read_by_a_transformer(kind):
    labels = [0, 1, 1, 0] if kind == "sentences" else WORDS + (WORDS == 0)
    data = make(WORDS, labels)
    _, params, extra, _, scores = shapes_of(data, networks.usual)
    assert params["trunk"]["tokens"]["embedding"].shape == (5, 64)
    outputs = 2 if kind == "sentences" else 5
    assert params["last"]["kernel"].shape == (64, outputs)
    assert extra["losses"].shape == ()
    assert set(scores) == {"accuracy"}


def test_accuracies_of_pairs_are_of_their_labels():
    """By a network whose logits are its parameters."""

    class Fixed(nnx.Module):
        def __init__(self, rngs):
            del rngs
            self.trunk = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
            self.trunk.hidden = ()
            logits = np.zeros((4, 2, 3), np.float32)
            logits[:, 0, 2] = logits[:, 1, 1] = 1
            self.logits = nnx.Param(logits)

        def __call__(self, x):
            del x
            return self.logits[...]

    task = make_task(PAIRS, None, None, lambda _, rngs: Fixed(rngs))
    scores = jax.jit(lambda: task.scores(task.init(nnx.Rngs(0)), PAIRS.train))()
    assert (scores["accuracy_1"], scores["accuracy_2"]) == (0.5, 0.5)
    assert scores["accuracy"] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model"),
    [("digits", "mlp"), ("digits", "cnn"), ("digits", "resnet"), ("sst-2", None)],
)
def test_factors_of_every_network_are_its_gradients(name, model):
    data = images([0, 2, 1, 2]) if name == "digits" else make(WORDS, [0, 1, 1, 0])
    tasks = [
        make_task(data, "examples", 2, networks.choose(name, model), factored=factored)
        for factored in (True, False)
    ]
    params = running.quick_jit(lambda: tasks[0].init(nnx.Rngs(0)))()

    @running.quick_jit
    def both(params):
        found = [task.gradients(params, data.train)[1] for task in tasks]
        assert any(map(_factored.is_factored, _factored.flatten(found[0])[0]))
        return [_factored.explicit(gradients) for gradients in found]

    assert_trees_close(*jax.device_get(both(params)), rtol=1e-5, atol=1e-5)
