"""Small models with dead units, for the tests of compaction."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


def placed(x, dtype=None):
    """`jnp.asarray`, which compiles nothing."""
    return jax.device_put(np.asarray(x, dtype))


def normal(key, shape, dtype=jnp.float32, out_sharding=None):
    """An initializer that compiles nothing."""
    del key, out_sharding
    return placed(np.random.default_rng(0).normal(size=shape), dtype)


def zeros(key, shape, dtype=jnp.float32, out_sharding=None):
    """As `normal`."""
    del key, out_sharding
    return placed(np.zeros(shape), dtype)


INIT = {"kernel_init": normal, "bias_init": zeros, "rngs": nnx.Rngs(0)}


def mlp(kernels, biases=None, activation=nnx.relu):
    """An NNX stack of Linear layers with given weights, and zero biases by default."""
    parts = []
    for number, kernel in enumerate(kernels):
        kernel = placed(kernel)
        layer = nnx.Linear(*kernel.shape, param_dtype=kernel.dtype, **INIT)
        layer.kernel.set_value(kernel)
        if biases is not None:
            layer.bias.set_value(placed(biases[number], kernel.dtype))
        parts += [layer, activation]
    return nnx.Sequential(*parts[:-1])


def deaf_to(kernel, units, dead):
    """A kernel with zeros in the rows of some of the `units` units before it."""
    blocks = np.array(kernel).reshape(*kernel.shape[:-2], -1, units, kernel.shape[-1])
    blocks[..., dead, :] = 0
    return placed(blocks.reshape(kernel.shape))


def kill(layer, units, dead):
    """Kills some of the `units` units before an NNX layer."""
    layer.kernel.set_value(deaf_to(layer.kernel[...], units, dead))


def assert_same(model, small, x, rtol=1e-5):
    expected, found = (
        np.asarray(jax.jit(lambda x, m=m: m(x))(x)) for m in (model, small)
    )
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * scale)


def parameters(widths):
    return sum(a * b + b for a, b in itertools.pairwise(widths))
