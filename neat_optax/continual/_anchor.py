"""Regularization of parameters to their initial values."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask
from neat_optax._schedules import value_at


class L2ToInitState(NamedTuple):
    """State of `l2_to_init`."""

    step: jax.Array  # [] int32
    start: optax.Params  # at init


@cites("kumar2023maintaining")
def l2_to_init(
    strength: optax.ScalarOrSchedule,
    *,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Weight decay towards the initial parameters instead of zero: L2 Init.

    .. math:: u \leftarrow u + \lambda\, (p - p_0)

    It is the gradient of :math:`\lambda / 2\, \|p - p_0\|^2`. Like
    `optax.add_decayed_weights`, it goes before the learning rate: in front of the whole
    optimizer for a penalty in the loss, as in the paper, or behind its scaling, as in
    AdamW, for a decoupled pull.

    Args:
      strength: :math:`\lambda` at least 0, or a schedule. The paper's penalty is not
        halved: its :math:`\lambda` is half of this one.
      mask: which parameters decay: a tree of True and False with the structure of
        the parameters, or of a prefix of it, or a function from the parameters to such
        a tree; all by default. Under `optax.inject_hyperparams` a function belongs in
        `static_args`.

    Returns:
      A transformation that needs `params`. It costs one copy of them.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = l2_to_init(0.5)
      >>> state = tx.init(jnp.array([1.0, 1.0]))
      >>> u, state = tx.update(jnp.zeros(2), state, jnp.array([3.0, 1.0]))
      >>> u.tolist()
      [1.0, 0.0]

    References:
      Kumar, Marklund and Van Roy, "Maintaining Plasticity in Continual Learning via
      Regenerative Regularization", 2023, section 4.
    """
    _checks.check_number("strength", strength, "[0, inf)")

    def init_fn(params: optax.Params) -> L2ToInitState:
        _checks.check_inexact("params", params)
        # A copy of its own, so that the parameters can be donated.
        start = jax.tree.map(jnp.copy, params)
        return L2ToInitState(jnp.zeros((), jnp.int32), start)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, L2ToInitState]:
        del extra_args
        _checks.check_update(updates, params, "l2_to_init")
        _checks.check_state("l2_to_init", state.start, params)
        amount = value_at(strength, state.step)

        def pull(update: jax.Array, weight: jax.Array, start: jax.Array) -> jax.Array:
            away = _tree.widen(weight) - _tree.widen(start)
            return (update + amount * away).astype(update.dtype)

        updates = jax.tree.map(pull, updates, params, state.start)
        return updates, L2ToInitState(_tree.increment(state.step), state.start)

    tx = optax.GradientTransformationExtraArgs(init_fn, update_fn)
    if mask is None:
        return tx
    return optax.with_extra_args_support(optax.masked(tx, mask))
