"""Dense networks, on features in any order."""

import jax
from flax import nnx

from neat_optax.experiments.models.heads import OneHead


class Trunk(nnx.Module):
    """Two hidden layers of rectified units, by default 128 and 64."""

    hidden = ("first", "second")

    def __init__(
        self,
        num_features: int,
        units: tuple[int, int] = (128, 64),
        *,
        rngs: nnx.Rngs,
    ):
        self.first = nnx.Linear(num_features, units[0], rngs=rngs)
        self.second = nnx.Linear(*units, rngs=rngs)
        self.width = units[1]

    def __call__(self, x: jax.Array) -> jax.Array:
        """Features of a batch of inputs."""
        return nnx.relu(self.second(nnx.relu(self.first(x))))


class MLP(OneHead):
    """A `Trunk`, and one linear layer.

    Args:
      num_features: of an input.
      num_classes: logits that come out.
      rngs: for the initial weights.

    Example:
      >>> import jax.numpy as jnp
      >>> MLP(64, 10, rngs=nnx.Rngs(0))(jnp.ones((3, 64))).shape
      (3, 10)
    """

    def __init__(self, num_features: int, num_classes: int, *, rngs: nnx.Rngs):
        super().__init__(Trunk(num_features, rngs=rngs), num_classes, rngs=rngs)
