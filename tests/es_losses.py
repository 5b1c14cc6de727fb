"""A loss, two players, and what tests of evolution strategies share."""

import jax
import jax.numpy as jnp
import numpy as np

import running
from neat_optax.evolution import es_value_and_grad

KEY = jax.random.key(3)
PARAMS = {"b": np.float32([0.5, -1.0]), "w": np.float32([[1.0, 2.0], [-1.0, 0.3]])}


def gradients_of(*args, **kwargs):
    """`es_value_and_grad` in one compiled call."""
    return running.quick_jit(es_value_and_grad(*args, **kwargs))


def for_each(shapings, *args, **kwargs):
    """`es_value_and_grad` with each of the shapings, in one compiled call."""
    fns = [es_value_and_grad(*args, shaping=one, **kwargs) for one in shapings]
    return running.quick_jit(lambda key, params: [fn(key, params) for fn in fns])


def assert_trees_close(found, expected, rtol=1e-6, atol=0.0):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def loss(params):
    inner = jnp.tanh(params["w"] @ jnp.array([1.0, -0.5]) + params["b"])
    return jnp.sum(inner**2) + jnp.sum(params["w"] ** 2)


def loss_in_numpy(b, w):
    inner = np.tanh(w @ np.array([1.0, -0.5]) + b)
    return np.sum(inner**2) + np.sum(w**2)


def two_losses(params):
    return jnp.stack([loss(params), -jnp.sum(jnp.sin(params["w"]))])


def keys(count):
    return jax.random.split(KEY, count)
