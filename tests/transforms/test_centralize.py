"""Gradient centralization in Flax's layout."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import neat_optax as neo


def centre(gradient):
    tx = neo.centralize_outputs()
    return tx.update(gradient, tx.init(gradient))[0]


def test_each_output_loses_its_mean():
    kernel = jnp.array([[1.0, 2.0], [3.0, 6.0]])
    np.testing.assert_array_equal(centre(kernel), [[-1.0, -2.0], [1.0, 2.0]])


def test_vectors_and_scalars_are_left_alone():
    tree = {"bias": jnp.array([1.0, 3.0]), "scale": jnp.array(2.0)}
    assert jax.tree.map(jnp.array_equal, centre(tree), tree) == {
        "bias": True,
        "scale": True,
    }


def test_what_is_for_each_unit_is_left_alone_also_of_stacked_layers():
    tree = {"scale": np.array([[1.0, 3.0], [2.0, 5.0]], np.float32)}
    np.testing.assert_array_equal(centre(tree)["scale"], tree["scale"])


def test_convolutions_are_centered_over_all_axes_but_the_last():
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 2, 4)))
    np.testing.assert_allclose(centre(kernel).sum((0, 1, 2)), np.zeros(4), atol=1e-5)


def test_is_optax_centralize_of_the_transposed_kernel():
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)))
    tx = optax.centralize()
    transposed, _ = tx.update(kernel.T, tx.init(kernel.T))
    np.testing.assert_allclose(centre(kernel), transposed.T, rtol=1e-5, atol=1e-6)
