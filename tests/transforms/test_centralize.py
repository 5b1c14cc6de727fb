"""Gradient centralization in Flax's layout."""

import jax
import numpy as np
import optax

import neat_optax as neo
from properties import assert_trees_equal
from running import quick_jit


def centre(gradient):
    return centred_by(neo.centralize_outputs(), gradient)


def centred_by(tx, gradient):
    step = quick_jit(lambda gradient: tx.update(gradient, tx.init(gradient))[0])
    return jax.device_get(step(gradient))


def test_each_output_loses_its_mean():
    kernel = np.float32([[1, 2], [3, 6]])
    np.testing.assert_array_equal(centre(kernel), [[-1.0, -2.0], [1.0, 2.0]])


def test_vectors_and_scalars_are_left_alone():
    tree = {"bias": np.float32([1, 3]), "scale": np.float32(2)}
    assert_trees_equal(centre(tree), tree)


def test_what_is_for_each_unit_is_left_alone_also_of_stacked_layers():
    tree = {"scale": np.array([[1.0, 3.0], [2.0, 5.0]], np.float32)}
    np.testing.assert_array_equal(centre(tree)["scale"], tree["scale"])


def test_convolutions_are_centered_over_all_axes_but_the_last():
    kernel = np.float32(np.random.default_rng(0).normal(size=(3, 3, 2, 4)))
    np.testing.assert_allclose(centre(kernel).sum((0, 1, 2)), np.zeros(4), atol=1e-5)


def test_is_optax_centralize_of_the_transposed_kernel():
    kernel = np.float32(np.random.default_rng(0).normal(size=(3, 4)))
    transposed = centred_by(optax.centralize(), kernel.T)
    np.testing.assert_allclose(centre(kernel), transposed.T, rtol=1e-5, atol=1e-6)
