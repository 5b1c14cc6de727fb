"""What all training steps share: the state, and from gradients to the next state."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _random
from neat_optax.training._flax_state import opened
from neat_optax.training._models import Model
from neat_optax.training._state import TrainingState


class Step(NamedTuple):
    """How to train, as two functions in the image of optax.

    Attributes:
      model: what is trained.
      init: from a seed or a key to the first `TrainingState`. Its arrays are its own,
        so that it can be donated.
      update: from a state and a batch to the next state and a dictionary of numbers.
        Pure: `jax.jit(step.update, donate_argnums=0)`. Given a `TrainState` of Flax, it
        returns one.
    """

    model: Model
    init: Callable[..., TrainingState]
    update: Callable[[TrainingState, Any], tuple[TrainingState, dict[str, jax.Array]]]


class Gradients(NamedTuple):
    """What a step has found before it asks the optimizer."""

    gradients: Any
    logs: dict[str, jax.Array]
    extra: Any  # what the model carries now
    arguments: dict[str, Any]  # extra arguments of `tx.update`
    scale: Any = None
    finite: jax.Array | None = None  # whether the step is taken; None: always


def make_step(
    model: Model,
    gradients: Callable[[TrainingState, Any], Gradients],
    tx: optax.GradientTransformation,
    *,
    measures: Callable[[Any], dict[str, jax.Array]] | None = None,
    ema: float | None = None,
    scale: Any = None,
) -> Step:
    r"""A training step around any way to get gradients.

    `train_step` and `player_train_step` are this with their own `gradients`.

    Args:
      model: what is trained.
      gradients: from the state and a batch to `Gradients`.
      tx: any chain. It gets the parameters and the extra arguments in `Gradients`, and
        must reduce a player axis if there is one.
      measures: from the optimizer's state after the step to numbers for the logs.
      ema: :math:`d` in [0, 1) of the average of parameters
        :math:`\bar p \leftarrow d\, \bar p + (1 - d)\, p`, which `evaluate` uses; None
        keeps none.
      scale: see `train_step`.

    Raises:
      ValueError: when it is traced, if the update has not the parameters' shapes.
    """
    _checks.check_kind("model", model, Model)
    _checks.check_kind("tx", tx, optax.GradientTransformation)
    if ema is not None:
        _checks.check_fields({"ema": ema}, {"ema": "[0, 1)"})
    transform = optax.with_extra_args_support(tx)

    def init(seed: Any = 0) -> TrainingState:
        params = _copied(model.params)
        return TrainingState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=_copied(jax.jit(transform.init)(params)),
            extra=_copied(model.extra),
            ema=None if ema is None else _copied(params),
            scale=None if scale is None else _as_arrays(scale),
            key=jnp.copy(_random.as_key(seed)),
        )

    def update(state: Any, batch: Any):
        state, close = opened(state)
        if ema is not None and state.ema is None:
            raise ValueError(
                f"`state` must have a field ema, as large as params, for ema={ema}."
            )
        found = gradients(state, batch)
        updates, opt_state = transform.update(
            found.gradients, state.opt_state, state.params, **found.arguments
        )
        _checks.check_same_structure("updates", updates, "params", state.params)
        new = state._replace(
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            extra=found.extra,
        )
        if ema is not None:
            average = optax.incremental_update(new.params, state.ema, 1 - ema)
            new = new._replace(ema=average)
        new = _if_finite(found.finite, new, state)
        new = new._replace(step=state.step + 1, scale=found.scale)
        logs = found.logs if measures is None else found.logs | measures(new.opt_state)
        return close(new), logs

    return Step(model, init, update)


def step_key(state: TrainingState) -> jax.Array:
    """The random key of a step: of the base key and the step's number only."""
    return jax.random.fold_in(state.key, state.step)


def _if_finite(
    finite: jax.Array | None, new: TrainingState, old: TrainingState
) -> TrainingState:
    """The new state, or the old one where the gradients were not finite."""
    if finite is None:
        return new
    return jax.tree.map(lambda x, y: jnp.where(finite, x, y), new, old)


def _copied(tree: Any) -> Any:
    """Arrays that nobody else holds, so that a step may be given their memory."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True), tree)


def _as_arrays(scale: Any) -> Any:
    steps, factor = jnp.asarray(scale.fin_steps, jnp.int32), jnp.float32(scale.scale)
    return scale.replace(fin_steps=steps, scale=factor)
