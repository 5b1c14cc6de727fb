"""A residual network whose normalization knows one example only."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from neat_optax.experiments.models.heads import OneHead
from neat_optax.experiments.models.shapes import Shape, as_images


class Block(nnx.Module):
    """Two convolutions, each after GroupNorm, added to what comes in.

    He et al. 2016, "Identity mappings", with the GroupNorm of Wu and He 2018: the
    gradient of an example is its own, and nothing is averaged over batches.
    """

    def __init__(self, size: int, out: int, stride: int, *, rngs: nnx.Rngs):
        step = (stride, stride)
        self.norm1 = nnx.GroupNorm(size, num_groups=8, rngs=rngs)
        self.conv1 = nnx.Conv(size, out, (3, 3), step, use_bias=False, rngs=rngs)
        self.norm2 = nnx.GroupNorm(out, num_groups=8, rngs=rngs)
        self.conv2 = nnx.Conv(out, out, (3, 3), use_bias=False, rngs=rngs)
        project = functools.partial(nnx.Conv, size, out, (1, 1), step, use_bias=False)
        self.skip = project(rngs=rngs) if size != out else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """[examples, height / stride, width / stride, out]."""
        ready = nnx.relu(self.norm1(x))
        changed = self.conv2(nnx.relu(self.norm2(self.conv1(ready))))
        return changed + (x if self.skip is None else self.skip(ready))


class ResidualTrunk(nnx.Module):
    """A convolution, and three stages of blocks with 16, 32 and 64 channels.

    Args:
      shape: of an image.
      depth: blocks of a stage; 1 makes the ResNet-8 of CIFAR, 3 the ResNet-20.
      rngs: for the initial weights.
    """

    hidden = ()
    width = 64

    def __init__(self, shape: Shape, depth: int = 1, *, rngs: nnx.Rngs):
        self.shape = shape
        self.first = nnx.Conv(shape[2], 16, (3, 3), use_bias=False, rngs=rngs)
        sizes: list[tuple[int, int, int]] = []
        for size, out, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
            sizes += [(size, out, stride)] + [(out, out, 1)] * (depth - 1)
        self.blocks = nnx.List([Block(*size, rngs=rngs) for size in sizes])
        self.norm = nnx.GroupNorm(self.width, num_groups=8, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[examples, width]: features of images, flat or not."""
        x = self.first(as_images(x, self.shape))
        for block in self.blocks:
            x = block(x)
        return jnp.mean(nnx.relu(self.norm(x)), axis=(1, 2))


class ResNet(OneHead):
    """A `ResidualTrunk`, and one linear layer.

    Args:
      shape: of an image.
      num_classes: logits that come out.
      depth: blocks of a stage.
      rngs: for the initial weights.
    """

    def __init__(
        self, shape: Shape, num_classes: int, depth: int = 1, *, rngs: nnx.Rngs
    ):
        super().__init__(ResidualTrunk(shape, depth, rngs=rngs), num_classes, rngs=rngs)
