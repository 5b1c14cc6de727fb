"""Between a `TrainingState` and the objects of NNX, which are changed in place."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from neat_optax import _checks
from neat_optax.training._models import from_nnx
from neat_optax.training._step import Step, TrainingState


def from_optimizer(
    step: Step, module: nnx.Module, optimizer: nnx.Optimizer, seed: Any = 0
) -> TrainingState:
    """The state in which a loop with `nnx.Optimizer` stands.

    Args:
      step: of a model like `module` and of the optimizer's own `tx`.
      module: what has been trained.
      optimizer: which has trained it. Neither is changed.
      seed: as for `step.init`.

    Raises:
      ValueError: if the optimizer's state is not that of the step's `tx`.
    """
    model, state = from_nnx(module, wrt=optimizer.wrt), step.init(seed)
    opt_state = nnx.as_pure(optimizer.opt_state)
    known = "step.init().opt_state"
    _checks.check_same_structure("optimizer", opt_state, known, state.opt_state)
    taken = jnp.asarray(optimizer.step.get_value(), jnp.int32)
    new = state._replace(
        step=taken,
        params=model.params,
        opt_state=opt_state,
        extra=model.extra,
        ema=None if state.ema is None else model.params,
    )
    return jax.tree.map(jnp.copy, new)


def update_module(
    module: nnx.Module,
    state: TrainingState,
    optimizer: nnx.Optimizer | None = None,
    *,
    ema: bool = False,
) -> None:
    """Puts what was trained into a module, and into its optimizer if one is given.

    Args:
      module: like that of `from_nnx`; changed in place.
      state: what `fit` or a step returned. It is copied.
      optimizer: an `nnx.Optimizer` of the same chain, to go on with by hand.
      ema: whether the module gets the average of the parameters.

    Example:
      >>> from flax import nnx
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax.training import from_nnx, train_step
      >>> module = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
      >>> step = train_step(
      ...     from_nnx(module), lambda m, x: (m(x)[:, 0] - 3) ** 2, optax.sgd(0.5)
      ... )
      >>> state, _ = step.update(step.init(), jnp.zeros((4, 1)))
      >>> update_module(module, state)
      >>> print(module(jnp.zeros((1, 1))))
      [[3.]]
    """
    if ema and state.ema is None:
        raise ValueError("`state` must keep an average of parameters, got ema=None.")
    params = state.ema if ema else state.params
    params, extra, opt_state = jax.tree.map(
        jnp.copy, (params, state.extra, state.opt_state)
    )
    nnx.update(module, params, extra)
    if optimizer is not None:
        nnx.update(optimizer.opt_state, nnx.state(opt_state))
        optimizer.step.set_value(jnp.asarray(state.step, jnp.uint32))
