"""Models as values: what is trained, what is carried, what is random."""

import jax
import numpy as np
import pytest
from flax import nnx

import small_nets
from neat_optax import training


def outputs(model, key, train, extra=None):
    """What a model gives for the batch, and what it carries after."""
    extra = model.extra if extra is None else extra
    kwargs = {"train": train} if "batch_stats" in model.extra else {}

    def call(model, x):
        return model(x, **kwargs)

    def run(params, extra, key, x):
        return model.run(call, params, extra, key, train, x)

    return jax.jit(run)(model.params, extra, key, small_nets.X)


MODELS = {"nnx": small_nets.nnx_model, "linen": small_nets.linen_model}


@pytest.mark.parametrize("kind", MODELS)
def test_training_draws_from_the_key_only_and_moves_the_statistics(kind):
    model = MODELS[kind]()
    one, carried = outputs(model, jax.random.key(1), True)
    again, _ = outputs(model, jax.random.key(1), True)
    other, _ = outputs(model, jax.random.key(2), True)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    before, after = map(jax.tree.leaves, (model.extra, carried))
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", MODELS)
def test_evaluation_draws_nothing_and_moves_nothing(kind):
    model = MODELS[kind]()
    one, carried = outputs(model, jax.random.key(1), False)
    other, _ = outputs(model, jax.random.key(2), False)
    np.testing.assert_array_equal(one, other)
    small_nets.same(model.extra, carried)


def test_frozen_variables_are_carried():
    module = small_nets.Net(nnx.Rngs(0))
    kernels = nnx.All(nnx.Param, nnx.PathContains("linear"))
    model = training.from_nnx(module, wrt=kernels)
    assert sorted(model.params) == ["linear"]
    assert sorted(model.extra["norm"]) == ["bias", "mean", "scale", "var"]


def test_modules_without_weights_are_refused():
    with pytest.raises(ValueError, match="`module` must have variables to train"):
        training.from_nnx(nnx.Dropout(0.5, rngs=nnx.Rngs(0)))


def test_variables_without_params_are_refused():
    with pytest.raises(ValueError, match="`variables` must have the collection params"):
        training.from_linen(small_nets.LinenNet(), {"batch_stats": {}})
