"""What changes in training: our state, and Flax's with extra arguments.

NNX needs no state of its own for those: `nnx.Optimizer.update(model, grads,
losses=losses)` passes them on.
"""

from typing import Any, NamedTuple

import jax
import optax
from flax.training.train_state import TrainState

from neat_optax import _checks


class TrainingState(NamedTuple):
    """Everything that changes in training, as one tree of arrays."""

    step: jax.Array  # [] int32: steps taken
    params: Any
    opt_state: Any
    extra: Any  # what the model carries, such as statistics of batches
    ema: Any  # an average of the parameters, or None
    scale: Any  # a `flax.training.dynamic_scale.DynamicScale`, or None
    key: jax.Array  # a random key, the same in all steps


class PlayerTrainState(TrainState):
    """Flax's `TrainState`, with extra arguments and gradients of several players.

    Created like Flax's. `TrainState.apply_gradients` takes every keyword for a field to
    replace, so that an optimizer never sees `losses=` or `present=`, which aggregators
    refuse there; and gradients that nothing reduced would turn every parameter into one
    per player without a word.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> import neat_optax as neo
      >>> correction = neo.neat_correction(1.0, opponent=neo.opponents.given())
      >>> tx = optax.chain(correction, optax.sgd(1.0))
      >>> state = PlayerTrainState.create(
      ...     apply_fn=None, params={"w": jnp.array([0.0, 0.0])}, tx=tx
      ... )
      >>> mine, other = {"w": jnp.array([1.0, 1.0])}, {"w": jnp.array([0.0, -1.0])}
      >>> state = state.apply_gradients(grads=mine, opponent=other)
      >>> print(state.params["w"].round(2), state.step)
      [-1.   -0.29] 1
    """

    def apply_gradients(self, *, grads: Any, **kwargs: Any) -> "PlayerTrainState":
        """One step of the optimizer.

        Args:
          grads: what `tx.update` takes: gradients like `params`, or with a leading
            player axis if `tx` reduces it.
          **kwargs: a keyword that names a field of the state replaces that field, as in
            `TrainState`. Every other one goes to `tx.update`: `losses=`, `preference=`,
            `present=`, `opponent=` and whatever else an optimizer in it knows.

        Returns:
          The state after the step.

        Raises:
          ValueError: when it is traced, if the step would change the shape of a
            parameter, as player gradients do that nothing reduces.
        """
        names = self.__dataclass_fields__
        fields = {name: x for name, x in kwargs.items() if name in names}
        extra = {name: x for name, x in kwargs.items() if name not in names}
        fields.setdefault("tx", self.tx)
        bound: Any = self.replace(tx=_bind(self.tx, extra))
        stepped: Any = TrainState.apply_gradients(bound, grads=grads, **fields)
        return stepped


def _bind(tx: optax.GradientTransformation, extra: dict[str, Any]):
    """An optimizer that gets `extra` whenever it is called, and must reduce players."""
    update = optax.with_extra_args_support(tx).update

    def update_fn(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, Any]:
        updates, state = update(updates, state, params, **extra)
        _checks.check_same_structure("updates", updates, "params", params)
        return updates, state

    return optax.GradientTransformation(tx.init, update_fn)
