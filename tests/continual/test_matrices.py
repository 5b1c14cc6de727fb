"""Kernels as matrices: which axes are for what, told by biases and places."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from neat_optax.continual import _matrices


def shapes(**arrays):
    return {name: np.zeros(shape, np.float32) for name, shape in arrays.items()}


ATTENTION = {
    "query": shapes(kernel=(8, 2, 4), bias=(2, 4)),
    "value": shapes(kernel=(8, 2, 4)),
    "out": shapes(kernel=(2, 4, 8), bias=(8,)),
}
CASES = {
    "dense": (shapes(kernel=(3, 5), bias=(5,)), (1, 1, 3, 5)),
    "no bias": (shapes(kernel=(3, 5)), (1, 1, 3, 5)),
    "haiku": (shapes(w=(3, 5), b=(5,)), (1, 1, 3, 5)),
    "conv": (shapes(kernel=(2, 3, 4, 5), bias=(5,)), (1, 6, 4, 5)),
    "stacked": (shapes(kernel=(7, 3, 5), bias=(7, 5)), (7, 1, 3, 5)),
    "stacked conv": (shapes(kernel=(7, 2, 3, 5), bias=(7, 5)), (7, 2, 3, 5)),
    "heads": (shapes(kernel=(8, 2, 4), bias=(2, 4)), (1, 1, 8, 8)),
    "stacked heads": (shapes(kernel=(7, 8, 2, 4), bias=(7, 2, 4)), (7, 1, 8, 8)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bias_tells_the_axes_of_its_kernel(name):
    params, expected = CASES[name]
    layers = _matrices.find_layers({"layer": params})
    leaves = jax.tree.leaves(params)
    (number,) = layers.kernels
    found = jax.eval_shape(
        lambda x: _matrices.tensors(x, layers.kernels[number]), leaves[number]
    )
    assert found.shape == expected
    count = expected[1] * expected[2]
    assert _matrices.fan_in(leaves[number].shape, layers.kernels[number]) == count
    assert list(layers.biases.values()) == [number] * (len(leaves) - 1)


def test_attention_has_heads_of_outputs_and_then_of_inputs():
    layers = _matrices.find_layers({"attention": ATTENTION})
    leaves = jax.tree.leaves(ATTENTION)
    sizes = [
        jax.eval_shape(
            lambda x, n=n: _matrices.tensors(x, layers.kernels[n]), leaves[n]
        )
        for n in layers.kernels
    ]
    assert [one.shape for one in sizes] == [(1, 1, 8, 8)] * 3


def test_a_model_of_flax_is_read():
    model = nn.MultiHeadDotProductAttention(num_heads=2)
    x = jax.ShapeDtypeStruct((1, 3, 8), np.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), x, x)["params"]
    layers = _matrices.find_layers(params)
    assert len(layers.kernels) == len(layers.biases) == 4
    assert {layout.positions for layout in layers.kernels.values()} == {0}
    assert sorted(layout.outputs for layout in layers.kernels.values()) == [1, 2, 2, 2]


def test_embeddings_and_normalization_are_no_kernels():
    params = {
        "embed": shapes(embedding=(9, 4)),
        "norm": shapes(scale=(7, 4), bias=(7, 4)),
        "free": np.zeros(3, np.float32),
    }
    assert _matrices.find_layers(params) == ({}, {})


def test_what_belongs_to_one_unit():
    params = {
        "layer": shapes(kernel=(7, 2, 3, 5), bias=(7, 5)),
        "free": np.zeros(3),
    }
    layers = _matrices.find_layers(params)
    axes = [
        _matrices.axes_of_unit(leaf.shape, number, layers)
        for number, leaf in enumerate(jax.tree.leaves(params))
    ]
    assert axes == [(0,), (1,), (1, 2)]
