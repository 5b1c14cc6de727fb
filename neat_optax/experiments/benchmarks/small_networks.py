"""Networks that a CPU trains fast, for benchmarks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from neat_optax.experiments.data.networks import Network
from neat_optax.experiments.data.parts import Data
from neat_optax.experiments.models import ConvTrunk, OneHead, TextTrunk
from neat_optax.experiments.models.shapes import Shape, as_images


class ShiftedConvTrunk(ConvTrunk):
    """A `ConvTrunk`, its convolutions as products of matrices.

    On a CPU XLA's own take ten times as long within a scan.
    """

    hidden = ("third",)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[examples, width]: features of images, flat or not."""
        x = as_images(x, self.shape)
        for layer in (self.first, self.second):
            x = _pool(nnx.relu(_convolve(layer, x)))
        return nnx.relu(self.third(x.reshape(len(x), -1)))


class SmallTextTrunk(TextTrunk):
    """A `TextTrunk` half as wide, of one block."""

    width = 32

    def __init__(
        self, num_tokens: int, length: int, *, causal: bool = False, rngs: nnx.Rngs
    ):
        super().__init__(num_tokens, length, causal=causal, rngs=rngs)
        self.blocks = nnx.List([self.blocks[0]])


def convolutions(shape: Shape) -> Network:
    """The network `cnn` of `neat-optax train`, for images of that shape."""

    def network(data: Data, rngs: nnx.Rngs) -> nnx.Module:
        return OneHead(ShiftedConvTrunk(shape, rngs=rngs), data.num_classes, rngs=rngs)

    return network


def small_transformer(data: Data, rngs: nnx.Rngs) -> nnx.Module:
    """A transformer of characters, from those before to the next one."""
    length = data.train.x.shape[1]
    trunk = SmallTextTrunk(data.num_tokens, length, causal=True, rngs=rngs)
    return OneHead(trunk, data.num_classes, rngs=rngs)


def _convolve(layer: Any, x: jax.Array) -> jax.Array:
    """A convolution of 3 by 3, as one product with nine images side by side."""
    *_, height, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + height, j : j + width] for i, j in np.ndindex(3, 3)]
    kernel = layer.kernel[...].reshape(9 * channels, -1)
    bias = layer.bias[...].reshape(1, 1, 1, -1)
    return jnp.concatenate(shifted, axis=-1) @ kernel + bias


def _pool(x: jax.Array) -> jax.Array:
    """The largest of 2 by 2 pixels, and of what there is at an odd edge."""
    edges = ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0))
    x = jnp.pad(x, edges, constant_values=-jnp.inf)
    count, height, width, channels = x.shape
    blocks = x.reshape(count, height // 2, 2, width // 2, 2, channels)
    return blocks.max((2, 4))
