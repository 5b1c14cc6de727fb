"""A training step on one gradient, that of the mean loss."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.training.train_state import TrainState

from neat_optax import _checks
from neat_optax.training import _losses
from neat_optax.training._batches import split_batch
from neat_optax.training._flax_state import begin_with
from neat_optax.training._models import Model
from neat_optax.training._step import (
    Gradients,
    Step,
    TrainingState,
    make_step,
    step_key,
)


def train_step(
    model: Model | TrainState,
    loss: _losses.Loss,
    tx: optax.GradientTransformation | None = None,
    *,
    accumulate: int = 1,
    dtype: Any = None,
    scale: Any = None,
    ema: float | None = None,
    extras: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    measures: Callable[[Any], dict[str, jax.Array]] | None = None,
) -> Step:
    r"""A step along the gradient of the mean loss, with any model, loss and chain.

    .. math:: g = \nabla_p \frac{1}{B} \sum_{b=1}^{B} \ell_b(p)

    Args:
      model: from `from_nnx`, `from_linen` or `from_function`; or Flax's `TrainState`,
        with which `step.init` then begins, and `fit` too.
      loss: a function `loss(model, batch)` that returns one real number or one for each
        example, or `(losses, aux)` with a dictionary. The means of the arrays in that
        are logged beside `loss`. Random numbers come from the model's own streams,
        which depend on the seed and the number of the step only.
      tx: any chain, with one update for one gradient. It gets the extra argument
        `value=`, the loss, and those of `extras`. That of a `TrainState` by default.
      accumulate: :math:`k`: the batch is split into so many equal parts, whose
        gradients are added up one after another: memory for the activations of one.
        Statistics of batches are then those of the parts.
      dtype: what parameters and real arrays of the batch are cast to for the loss, such
        as `jnp.bfloat16`; the masters, gradients and the optimizer stay as they are.
        Take logits to float32 before a softmax. Layers of Flax with a `dtype` of their
        own need none here.
      scale: a `flax.training.dynamic_scale.DynamicScale`, for float16: the loss is
        multiplied by it, and a step whose gradients are not finite is left out.
      ema: see `make_step`.
      extras: from `aux` to more extra arguments of `tx.update`.
      measures: see `make_step`; `neat_optax.diagnostics` finds what may be logged.

    Returns:
      A `Step`. Its logs are `loss`, the means in `aux` and those of `measures`.

    Raises:
      ValueError: when it is traced, if the loss is not a real number, if `accumulate`
        does not divide the batch, or if the update has not the parameters' shapes, as
        that of a chain which needs a player axis.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from neat_optax.training import from_function
      >>> model = from_function(lambda p, x: p * x, jnp.array(0.0))
      >>> def loss(model, batch):
      ...     return (model(batch["x"]) - batch["y"]) ** 2
      >>> step = train_step(model, loss, optax.sgd(0.1))
      >>> batch = {"x": jnp.array([1.0, 1.0]), "y": jnp.array([1.0, 3.0])}
      >>> state, logs = jax.jit(step.update)(step.init(), batch)
      >>> print(state.params.round(3), logs["loss"])
      0.4 5.0
    """
    _checks.check_function("loss", loss)
    _checks.check_count("accumulate", accumulate, minimum=1, schedule=False)
    _checks.check_dtype("dtype", dtype)
    model, chain, init = begin_with(model, tx)

    def of_part(params: Any, extra: Any, key: jax.Array, part: Any):
        losses, aux, extra = _losses.run_loss(
            model, loss, dtype, params, extra, key, part
        )
        return _losses.mean_loss(losses), (aux, extra)

    def gradients(state: TrainingState, batch: Any) -> Gradients:
        key = step_key(state)
        if accumulate == 1:
            start = state.scale, state.extra
            (factor, extra), found = _one(of_part, state.params, start, key, batch)
        else:
            (factor, extra), found = _several(of_part, accumulate, state, key, batch)
        value, aux, grads, finite = found
        more = {} if extras is None else extras(aux)
        arguments = {"value": value, **more}
        logs = {"loss": value, **_losses.logged(aux)}
        return Gradients(grads, logs, extra, arguments, factor, finite)

    step = make_step(model, gradients, chain, measures=measures, ema=ema, scale=scale)
    return step if init is None else step._replace(init=init)


def _one(of_part: Callable, params: Any, start: Any, key: jax.Array, part: Any):
    """The loss and gradient of one part; with a scale, also whether it is finite."""
    scale, extra = start
    args = params, extra, key, part
    if scale is None:
        of_params = jax.value_and_grad(of_part, has_aux=True)
        (value, (aux, extra)), grads = of_params(*args)
        return (None, extra), (value, aux, grads, None)
    found = scale.value_and_grad(of_part, has_aux=True)(*args)
    value, (aux, extra) = found.aux
    return (found.dynamic_scale, extra), (value, aux, found.grad, found.finite)


def _several(
    of_part: Callable, count: int, state: TrainingState, key: jax.Array, batch: Any
):
    """The means over equal parts of a batch, one after another."""
    parts = split_batch("accumulate", batch, count)
    keys = jax.random.split(key, count)

    def add(carry: Any, seen: Any):
        start, total = carry
        start, (value, aux, grads, finite) = _one(of_part, state.params, start, *seen)
        total = jax.tree.map(lambda sum_, g: sum_ + g / count, total, grads)
        return (start, total), (value, aux, finite)

    zeros = jax.tree.map(jnp.zeros_like, state.params)
    first = (state.scale, state.extra), zeros
    (start, grads), (value, aux, finite) = jax.lax.scan(add, first, (keys, parts))
    value, aux = jax.tree.map(lambda x: jnp.mean(x, axis=0), (value, aux))
    return start, (value, aux, grads, None if finite is None else jnp.all(finite))
