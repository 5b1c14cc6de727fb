"""What stands on a trunk: one linear layer, or one for each task."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


class OneHead(nnx.Module):
    """A trunk, and one linear layer called `last`.

    Args:
      trunk: from inputs to features, whose number is its `width`.
      num_outputs: logits that come out.
      rngs: for the initial weights of the layer.
    """

    def __init__(self, trunk: Any, num_outputs: int, *, rngs: nnx.Rngs):
        self.trunk = trunk
        self.last = nnx.Linear(trunk.width, num_outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits [examples, num_outputs]; of every token where the trunk is causal."""
        return self.last(self.trunk(x))


class MultiHead(nnx.Module):
    """A trunk that tasks share, and a linear head for each of them.

    Its parameters are called `trunk/...` and `heads/...`: `shared_params` finds by the
    losses of the tasks that they share the first and that each of the second has one.

    Args:
      trunk: from inputs to features, whose number is its `width`.
      num_tasks: how many heads there are.
      num_outputs: logits of a head; 1 for a label that is present or absent.
      rngs: for the initial weights of the heads.

    Example:
      >>> from neat_optax.experiments.models import ConvTrunk
      >>> rngs = nnx.Rngs(0)
      >>> model = MultiHead(ConvTrunk((36, 36, 1), rngs=rngs), 2, 10, rngs=rngs)
      >>> model(jnp.ones((3, 36 * 36))).shape
      (3, 2, 10)
    """

    def __init__(
        self,
        trunk: Any,
        num_tasks: int,
        num_outputs: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.trunk = trunk
        self.heads = nnx.List(
            [nnx.Linear(trunk.width, num_outputs, rngs=rngs) for _ in range(num_tasks)]
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """[examples, num_tasks, num_outputs], without the last axis where it is 1."""
        features = self.trunk(x)
        logits = [head(features) for head in self.heads]
        if logits[0].shape[-1] == 1:
            return jnp.concatenate(logits, axis=-1)
        return jnp.stack(logits, axis=1)
