"""Transformations that leave exact zeros, last in a chain.

Each turns an update `u` into `z - p`, where `z` is a thresholded `p + u`. A weight that
is to be zero gets the update `-p`, so that `p + update` is exactly zero in every dtype.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax.opponents import value_at


def soft_threshold(
    strength: optax.ScalarOrSchedule,
) -> optax.GradientTransformationExtraArgs:
    r"""Shrinks the new parameters towards zero: the proximal step of the L1 norm.

    .. math:: p + u \leftarrow \operatorname{sign}(p + u)\, \max(|p + u| - \lambda, 0)

    Args:
      strength: :math:`\lambda` at least 0, or a schedule. For an L1 penalty of weight
        :math:`w` under plain gradient descent it is the learning rate times :math:`w`.

    Returns:
      A transformation that needs `params` and goes last in a chain.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = soft_threshold(0.5)
      >>> p = jnp.array([2.0, 0.3])
      >>> u, _ = tx.update(jnp.zeros(2), tx.init(p), p)
      >>> optax.apply_updates(p, u).tolist()
      [1.5, 0.0]

    References:
      Parikh and Boyd, "Proximal Algorithms", 2014, section 6.5.2.
    """
    _checks.check_number("strength", strength, "[0, inf)")
    return _threshold(strength, "soft_threshold", _shrink)


def prune_below(
    threshold: optax.ScalarOrSchedule,
) -> optax.GradientTransformationExtraArgs:
    r"""Zeroes the new parameters that are smaller than a threshold.

    .. math:: p + u \leftarrow (p + u) \cdot [\,|p + u| \ge \tau\,]

    A weight can come back: it is zeroed anew at every step, not frozen.

    Args:
      threshold: :math:`\tau` at least 0, or a schedule.

    Returns:
      A transformation that needs `params` and goes last in a chain.
    """
    _checks.check_number("threshold", threshold, "[0, inf)")
    return _threshold(threshold, "prune_below", _cut)


def _shrink(z, strength):
    size = jnp.abs(z)
    return jnp.where(size <= strength, 0.0, 1 - _tree.safe_divide(strength, size))


def _cut(z, threshold):
    return jnp.where(jnp.abs(z) < threshold, 0.0, 1.0)


def _threshold(
    level: optax.ScalarOrSchedule, name: str, factor: Callable
) -> optax.GradientTransformationExtraArgs:
    """Multiplies `p + u` by `factor(p + u, level)`, which is 0 where it prunes."""

    def init_fn(params):
        del params
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update_fn(updates, state, params=None, **extra_args):
        del extra_args
        _checks.check_params(params, name)
        _checks.check_inexact("updates", updates)
        _checks.check_same_structure("updates", updates, "params", params)
        at = value_at(level, state.count)

        def leaf(u, p):
            z = _tree.widen(p) + _tree.widen(u)
            keep = factor(z, at)
            moved = jnp.where(keep == 1.0, u, keep * z - _tree.widen(p))
            dtype = jnp.result_type(u, p)  # in which -p is exact
            return jnp.where(keep == 0.0, -p, moved).astype(dtype)

        updates = jax.tree.map(leaf, updates, params)
        count = optax.safe_increment(state.count)
        return updates, optax.ScaleByScheduleState(count)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
