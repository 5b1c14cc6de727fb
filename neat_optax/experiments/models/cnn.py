"""A small convolutional network."""

import math

import jax
from flax import nnx

from neat_optax.experiments.models.heads import OneHead
from neat_optax.experiments.models.shapes import Shape, as_images


class ConvTrunk(nnx.Module):
    """Two convolutions of 16 and 32 channels, each halved, and 64 rectified units.

    Args:
      shape: of an image.
      rngs: for the initial weights.
    """

    hidden = ("first", "second", "third")
    width = 64

    def __init__(self, shape: Shape, *, rngs: nnx.Rngs):
        height, width, colors = self.shape = shape
        left = math.ceil(height / 4) * math.ceil(width / 4) * 32
        self.first = nnx.Conv(colors, 16, (3, 3), rngs=rngs)
        self.second = nnx.Conv(16, 32, (3, 3), rngs=rngs)
        self.third = nnx.Linear(left, self.width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[examples, width]: features of images, flat or not."""
        x = as_images(x, self.shape)
        for layer in (self.first, self.second):
            x = nnx.max_pool(nnx.relu(layer(x)), (2, 2), (2, 2), "SAME")
        return nnx.relu(self.third(x.reshape(len(x), -1)))


class CNN(OneHead):
    """A `ConvTrunk`, and one linear layer.

    Args:
      shape: of an image.
      num_classes: logits that come out.
      rngs: for the initial weights.

    Example:
      >>> import jax.numpy as jnp
      >>> CNN((28, 28, 1), 10, rngs=nnx.Rngs(0))(jnp.ones((3, 784))).shape
      (3, 10)
    """

    def __init__(self, shape: Shape, num_classes: int, *, rngs: nnx.Rngs):
        super().__init__(ConvTrunk(shape, rngs=rngs), num_classes, rngs=rngs)
