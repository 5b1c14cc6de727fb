"""The networks that are trained."""

import jax
import jax.numpy as jnp
from flax import nnx

HIDDEN = ("trunk/first", "trunk/second")
"""The paths of the layers of hidden units, in all networks here."""
LAYERS = (*HIDDEN, "last")
"""The paths of all layers of an `MLP`, in the order in which they feed one another."""


class Trunk(nnx.Module):
    """Two hidden layers of 128 and 64 rectified units."""

    def __init__(self, num_features: int, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(num_features, 128, rngs=rngs)
        self.second = nnx.Linear(128, 64, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Features of a batch of inputs."""
        return nnx.relu(self.second(nnx.relu(self.first(x))))


class MLP(nnx.Module):
    """A trunk and one linear layer."""

    def __init__(self, num_features: int, num_classes: int, *, rngs: nnx.Rngs):
        self.trunk = Trunk(num_features, rngs=rngs)
        self.last = nnx.Linear(64, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits for a batch of inputs."""
        return self.last(self.trunk(x))


class MultiHead(nnx.Module):
    """A trunk and a linear head for each label."""

    def __init__(self, num_features: int, num_labels: int, *, rngs: nnx.Rngs):
        self.trunk = Trunk(num_features, rngs=rngs)
        self.heads = nnx.List([nnx.Linear(64, 1, rngs=rngs) for _ in range(num_labels)])

    def __call__(self, x: jax.Array) -> jax.Array:
        """One logit per label for a batch of inputs."""
        features = self.trunk(x)
        return jnp.concatenate([head(features) for head in self.heads], axis=-1)
