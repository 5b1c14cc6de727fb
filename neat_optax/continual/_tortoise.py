"""Hare and Tortoise: fast weights go back to the average of where they were."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask
from neat_optax._schedules import value_at
from neat_optax.continual import _events


class HareAndTortoiseState(NamedTuple):
    """State of `hare_and_tortoise`."""

    step: jax.Array  # [] int32
    slow: optax.Params  # in float32 or wider


@cites("lee2024slow")
def hare_and_tortoise(
    every: int | None = None,
    decay: optax.ScalarOrSchedule = 0.999,
    *,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Sets the parameters back to their slow average every so many steps.

    .. math:: z = w + u, \qquad s \leftarrow \mu s + (1 - \mu) z, \qquad
        w + u \leftarrow \begin{cases} s & \text{every } k \text{ steps} \\
        z & \text{otherwise} \end{cases}

    The hare :math:`w` learns fast, and the tortoise :math:`s` generalizes: evaluate the
    latter, `optax.tree.get(state, "slow")`. It starts where the parameters do. A step
    to a parameter that is not finite leaves its average alone.

    Args:
      every: :math:`k`, steps from one time to the next. By default the extra argument
        `new_task=` of update says when, as in `fire`.
      decay: :math:`\mu` in [0, 1), or a schedule.
      mask: which parameters take part, as in `l2_to_init`.

    Returns:
      A transformation that needs `params` and goes last in a chain. It costs a copy of
      them in float32. The moments of the optimizer go on.

    Raises:
      ValueError: at update, if `new_task` is missing where `every` is not given.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = hare_and_tortoise(2, 0.5)
      >>> w = jnp.array([0.0])
      >>> state = tx.init(w)
      >>> for _ in range(2):
      ...     u, state = tx.update(jnp.array([4.0]), state, w)
      ...     w = optax.apply_updates(w, u)
      >>> w.tolist()
      [5.0]

    References:
      Lee et al., "Slow and Steady Wins the Race: Maintaining Plasticity with Hare and
      Tortoise Networks", 2024. In the authors' code for images the fast
      weights share their memory with the slow ones after the first time; here, as in
      the paper, they are copied.
    """
    _checks.check_number("decay", decay, "[0, 1)")
    cadence = _events.cadence(every)

    def init_fn(params: optax.Params) -> HareAndTortoiseState:
        _checks.check_inexact("params", params)
        # A copy of its own, so that the parameters can be donated.
        slow = jax.tree.map(lambda p: jnp.copy(_tree.widen(p)), params)
        return HareAndTortoiseState(jnp.zeros((), jnp.int32), slow)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, HareAndTortoiseState]:
        _checks.check_update(updates, params, "hare_and_tortoise")
        _checks.check_state("hare_and_tortoise", state.slow, params)
        kept, step = value_at(decay, state.step), _tree.increment(state.step)
        due = _events.is_due(cadence, step, extra_args, "hare_and_tortoise")

        def follow(slow: jax.Array, weight: jax.Array, update: jax.Array) -> jax.Array:
            new = kept * slow + (1 - kept) * (_tree.widen(weight) + update)
            return jnp.where(jnp.isfinite(new), new, slow).astype(slow.dtype)

        def go_back(update: jax.Array, weight: jax.Array, slow: jax.Array) -> jax.Array:
            way = (slow - _tree.widen(weight)).astype(update.dtype)
            return jnp.where(due, way, update)

        slow = jax.tree.map(follow, state.slow, params, updates)
        updates = jax.tree.map(go_back, updates, params, slow)
        return updates, HareAndTortoiseState(step, slow)

    tx = optax.GradientTransformationExtraArgs(init_fn, update_fn)
    if mask is None:
        return tx
    return optax.with_extra_args_support(optax.masked(tx, mask))
