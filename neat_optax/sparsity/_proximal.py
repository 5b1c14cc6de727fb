"""Proximal steps, last in a chain: they leave exact zeros.

Each turns an update `u` into `x - p`, where `x` is the point that minimizes a penalty
plus `P/2 |x - (p + u)|^2`. A weight that is to be zero gets the update `-p`, so that
`p + update` is exactly zero in every dtype. The metric `P` is 1, or the extra argument
`metric=` of `update`: a positive tree like the parameters, by which the update was
divided before. `precondition(inner, then=...)` passes its own.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._schedules import value_at
from neat_optax.sparsity import _factors


@cites("parikh2014proximal")
def soft_threshold(
    strength: optax.ScalarOrSchedule,
) -> optax.GradientTransformationExtraArgs:
    r"""Shrinks the new parameters towards zero: the proximal step of the L1 norm.

    .. math:: z = p + u, \qquad p + u \leftarrow \operatorname{sign}(z)\,
        \max(|z| - \lambda / P, 0)

    Args:
      strength: :math:`\lambda` at least 0, or a schedule. For an L1 penalty of weight
        :math:`w` under plain gradient descent it is the learning rate times :math:`w`.

    Returns:
      A transformation that needs `params`, uses `metric=` as :math:`P`, and goes last
      in a chain.

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
    return _proximal("soft_threshold", _factors.soft, strength)


@cites("parikh2014proximal")
def elastic_net(
    l1: optax.ScalarOrSchedule, l2: optax.ScalarOrSchedule
) -> optax.GradientTransformationExtraArgs:
    r"""The proximal step of an L1 norm and a squared L2 norm together.

    .. math:: z = p + u, \qquad p + u \leftarrow \operatorname{sign}(z)\,
        \frac{\max(|z| - \lambda_1 / P, 0)}{1 + \lambda_2 / P}

    Args:
      l1: :math:`\lambda_1` at least 0, or a schedule. For a penalty
        :math:`w_1 |p| + \tfrac12 w_2 p^2` under plain gradient descent it is the
        learning rate times :math:`w_1`.
      l2: :math:`\lambda_2` at least 0, or a schedule: likewise, times :math:`w_2`.

    Returns:
      A transformation that needs `params`, uses `metric=` as :math:`P`, and goes last
      in a chain.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = elastic_net(0.5, 1.0)
      >>> p = jnp.array([2.0, 0.3])
      >>> u, _ = tx.update(jnp.zeros(2), tx.init(p), p)
      >>> optax.apply_updates(p, u).tolist()
      [0.75, 0.0]

    References:
      Parikh and Boyd, "Proximal Algorithms", 2014, section 6.5.3.
    """
    _checks.check_number("l1", l1, "[0, inf)")
    _checks.check_number("l2", l2, "[0, inf)")
    return _proximal("elastic_net", _factors.elastic, l1, l2)


@cites("yuan2006model", "more1983computing")
def group_lasso(
    strength: optax.ScalarOrSchedule, *, axis: int | tuple[int, ...] = -1
) -> optax.GradientTransformationExtraArgs:
    r"""Shrinks whole groups towards zero: the proximal step of the sum of their norms.

    .. math:: z = p + u, \qquad p + u \leftarrow z\, \max(1 - \lambda / \|z\|, 0)

    with the norm over a group. In a metric :math:`P`, entry :math:`i` of a group is

    .. math:: x_i = \frac{P_i z_i n}{P_i n + \lambda}, \qquad n = \|x\|

    and the group is zero where :math:`\|P z\| \le \lambda`. The root :math:`n` is found
    in a fixed number of rounds, right to a few units in the last place of the group's
    largest entry.

    Args:
      strength: :math:`\lambda` at least 0, or a schedule. For a penalty of weight
        :math:`w` on each norm under plain gradient descent it is the learning rate
        times :math:`w`. It is the same for groups of all sizes.
      axis: the axis or axes that number the groups; the norm is over all others. With
        -1, a Flax kernel has one group for each output unit, and each entry of a bias
        is a group. An axis that a leaf does not have is left out, so a scalar is one
        group. Under `optax.inject_hyperparams` it belongs in `static_args`.

    Returns:
      A transformation that needs `params`, uses `metric=` as :math:`P`, and goes last
      in a chain.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = group_lasso(2.5)
      >>> p = jnp.array([[3.0, 1.0], [4.0, 2.0]])
      >>> u, _ = tx.update(jnp.zeros((2, 2)), tx.init(p), p)
      >>> optax.apply_updates(p, u).tolist()
      [[1.5, 0.0], [2.0, 0.0]]

    References:
      Yuan and Lin, "Model selection and estimation in regression with grouped
      variables", 2006; Moré and Sorensen, "Computing a trust region step", 1983, for
      the equation of the root.
    """
    _checks.check_number("strength", strength, "[0, inf)")
    axes = axis if isinstance(axis, tuple) else (axis,)
    for one in axes:
        _checks.check_integer("axis", one)
    factor = functools.partial(_factors.group, axes=axes)
    return _proximal("group_lasso", factor, strength)


@cites("blumensath2008iterative")
def hard_threshold(
    strength: optax.ScalarOrSchedule,
) -> optax.GradientTransformationExtraArgs:
    r"""Zeroes small new parameters: the proximal step of the number of weights.

    .. math:: z = p + u, \qquad p + u \leftarrow z \cdot
        \bigl[\,|z| > \sqrt{2 \lambda / P}\,\bigr]

    `prune_below` takes the threshold itself, and ignores the metric.

    Args:
      strength: :math:`\lambda` at least 0, or a schedule. For a penalty of :math:`w` on
        each weight that is not zero, under plain gradient descent, it is the learning
        rate times :math:`w`.

    Returns:
      A transformation that needs `params`, uses `metric=` as :math:`P`, and goes last
      in a chain.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = hard_threshold(0.5)
      >>> p = jnp.array([2.0, -1.0])
      >>> u, _ = tx.update(jnp.zeros(2), tx.init(p), p)
      >>> optax.apply_updates(p, u).tolist()
      [2.0, 0.0]

    References:
      Blumensath and Davies, "Iterative thresholding for sparse approximations", 2008.
    """
    _checks.check_number("strength", strength, "[0, inf)")
    return _proximal("hard_threshold", _factors.hard, strength)


@cites("parikh2014proximal")
def nonnegative_lasso(
    strength: optax.ScalarOrSchedule,
) -> optax.GradientTransformationExtraArgs:
    r"""Keeps the new parameters at 0 or above, and shrinks them towards 0.

    .. math:: z = p + u, \qquad p + u \leftarrow \max(z - \lambda / P, 0)

    Args:
      strength: :math:`\lambda` at least 0, or a schedule. For an L1 penalty of weight
        :math:`w` under plain gradient descent it is the learning rate times :math:`w`.
        With 0 this is the projection onto the nonnegative numbers.

    Returns:
      A transformation that needs real `params`, uses `metric=` as :math:`P`, and goes
      last in a chain. Complex leaves raise.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = nonnegative_lasso(0.5)
      >>> p = jnp.array([2.0, -3.0])
      >>> u, _ = tx.update(jnp.zeros(2), tx.init(p), p)
      >>> optax.apply_updates(p, u).tolist()
      [1.5, 0.0]

    References:
      Parikh and Boyd, "Proximal Algorithms", 2014, section 6.5.2.
    """
    _checks.check_number("strength", strength, "[0, inf)")
    return _proximal("nonnegative_lasso", _factors.nonnegative, strength)


def prune_below(
    threshold: optax.ScalarOrSchedule,
) -> optax.GradientTransformationExtraArgs:
    r"""Zeroes the new parameters that are smaller than a threshold.

    .. math:: p + u \leftarrow (p + u) \cdot [\,|p + u| \ge \tau\,]

    The threshold is applied at every step: a zeroed weight may grow back.

    Args:
      threshold: :math:`\tau` at least 0, or a schedule.

    Returns:
      A transformation that needs `params` and goes last in a chain.
    """
    _checks.check_number("threshold", threshold, "[0, inf)")
    return _proximal("prune_below", _factors.prune, threshold)


def _proximal(
    name: str, factor: Callable[..., jax.Array], *levels: optax.ScalarOrSchedule
) -> optax.GradientTransformationExtraArgs:
    """Multiplies `p + u` by `factor(p + u, metric, *levels)`, 0 where it prunes."""

    def init_fn(params: optax.Params) -> optax.ScaleByScheduleState:
        del params
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        *,
        metric: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.ScaleByScheduleState]:
        del extra_args
        _check_update(name, updates, params, metric)
        at = [value_at(level, state.count) for level in levels]

        def leaf(u: jax.Array, p: jax.Array, metric: Any = None) -> jax.Array:
            z = _tree.widen(p) + _tree.widen(u)
            keep = factor(z, None if metric is None else _tree.widen(metric), *at)
            moved = jnp.where(keep == 1.0, u, keep * z - _tree.widen(p))
            dtype = jnp.result_type(u, p)  # in which -p is exact
            return jnp.where(keep == 0.0, -p, moved).astype(dtype)

        like = (params,) if metric is None else (params, metric)
        updates = jax.tree.map(leaf, updates, *like)
        count = optax.safe_increment(state.count)
        return updates, optax.ScaleByScheduleState(count)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _check_update(
    name: str, updates: optax.Updates, params: optax.Params | None, metric: Any
) -> None:
    _checks.check_params(params, name)
    _checks.check_inexact("updates", updates)
    _checks.check_same_structure("updates", updates, "params", params)
    if metric is not None:
        _checks.check_same_structure("metric", metric, "params", params)
