"""How a chain is given to Keras, and what is saved of it."""

import functools
import os
import pathlib
import subprocess
import sys

import keras
import optax
import pytest

import neat_optax as neo
from neat_optax.keras import NEAT, OptaxOptimizer

pytestmark = pytest.mark.slow


@keras.saving.register_keras_serializable("tests")
def with_rules(learning_rate, weight=0.5, kind=None, pairs=()):
    del weight, kind, pairs
    return optax.sgd(learning_rate)


def unregistered():
    return optax.sgd(0.1)


def test_a_registered_factory_comes_back_with_its_arguments():
    given = {"weight": 0.25, "kind": with_rules, "pairs": [(0.0, 1.0), ("a", None)]}
    schedule = keras.optimizers.schedules.CosineDecay(0.5, 10)
    optimizer = OptaxOptimizer(with_rules, schedule, given, clipnorm=2.0, name="mine")
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(again) == config
    assert again._chain.arguments == given and again._chain.source is with_rules
    assert (again.name, again.clipnorm) == ("mine", 2.0)


def test_without_a_rate_it_stays_without():
    optimizer = OptaxOptimizer(neo.neat, arguments={"learning_rate": 0.1})
    again = OptaxOptimizer.from_config(optimizer.get_config())
    assert again._chain.has_own_rate and again._chain.arguments == {
        "learning_rate": 0.1
    }


@pytest.mark.parametrize(
    "tx, arguments, sentence",
    [
        (optax.sgd(0.1), None, "got a finished transformation: decorate"),
        (lambda: optax.sgd(0.1), None, "got the function .*lambda"),
        (functools.partial(optax.sgd, 0.1), None, "got the function functools"),
        (unregistered, None, "got the function unregistered: decorate"),
        (neo.scale_by_neat, {"scope": neo.whole_tree}, "got <scope whole_tree> for sc"),
    ],
)
def test_what_cannot_be_saved_says_so_in_get_config(tx, arguments, sentence):
    optimizer = OptaxOptimizer(tx, arguments=arguments)
    with pytest.raises(ValueError, match=sentence):
        optimizer.get_config()


@pytest.mark.parametrize(
    "tx, rate, arguments, sentence",
    [
        ("adam", None, None, "`tx` must be an optax transformation or a factory"),
        (optax.sgd(0.1), None, {"a": 1}, "`arguments` must be None with a finished"),
        (
            neo.neat,
            None,
            {},
            "must fit the function neat, got .. and no learning rate",
        ),
        (neo.neat, 0.1, {"alhpa": 1}, "got an unexpected keyword argument 'alhpa'"),
        (neo.neat, 0.1, [1], "`arguments` must be a dictionary of the factory's"),
    ],
)
def test_what_fits_no_chain_is_refused_at_once(tx, rate, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        OptaxOptimizer(tx, rate, arguments)


def test_a_name_that_is_not_registered_is_refused_when_it_is_loaded():
    config = OptaxOptimizer(neo.neat, 0.1).get_config() | {"tx": "mine>gone"}
    with pytest.raises(ValueError, match="must be registered with Keras before"):
        OptaxOptimizer.from_config(config)
    custom = keras.saving.custom_object_scope({"mine>gone": neo.neat})
    with custom:
        assert OptaxOptimizer.from_config(config)._chain.source is neo.neat


def test_the_configuration_of_neat_comes_back():
    optimizer = NEAT(0.5, 0.1, weight_decay=0.25, adaptive_alpha=True, clipnorm=1.0)
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(again) == config
    assert (again.weight_decay, again.clipnorm, again.name) == (0.25, 1.0, "NEAT")
    assert again._config == optimizer._config and again._config.adaptive_alpha


def test_the_page_lists_all_names():
    page = pathlib.Path(__file__).parents[2] / "docs" / "keras.md"
    table = page.read_text().rpartition("## All public names of")[2]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = [name.strip("` ") for row in rows for name in row.split(",")]
    own = [name for name in vars(neo.keras) if not name.startswith("_")]
    assert sorted(named) == sorted(own)


def test_another_backend_is_one_sentence():
    """That of NumPy, which is always installed."""
    ran = subprocess.run(
        [sys.executable, "-c", "import keras, neat_optax.keras"],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
    )
    last = ran.stderr.splitlines()[-1]
    assert "needs Keras's JAX backend, got 'numpy': set KERAS_BACKEND=jax" in last
