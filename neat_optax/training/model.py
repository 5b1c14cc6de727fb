"""The network that is trained."""

import jax
from flax import nnx


class MLP(nnx.Module):
    """Two hidden layers of 128 and 64 rectified units."""

    def __init__(self, num_features: int, num_classes: int, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(num_features, 128, rngs=rngs)
        self.second = nnx.Linear(128, 64, rngs=rngs)
        self.last = nnx.Linear(64, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits for a batch of inputs."""
        x = nnx.relu(self.first(x))
        x = nnx.relu(self.second(x))
        return self.last(x)
