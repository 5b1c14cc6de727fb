"""The second moment of the gradient: preconditioner, and metric of conflict."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _factored, _stacked, _tree
from neat_optax._citing import cites
from neat_optax._schedules import value_at


class PreconditionState(NamedTuple):
    """State of `precondition`."""

    step: jax.Array  # [] int32
    second_moment: optax.Params  # real
    inner: optax.OptState
    then: optax.OptState = ()  # the state of `then`, or () without one


@cites("kingma2015adam")
def precondition(
    inner: optax.GradientTransformation,
    *,
    decay: optax.ScalarOrSchedule = 0.999,
    eps: float = 1e-8,
    debias: bool = False,
    as_metric: bool = True,
    then: optax.GradientTransformation | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Divides what `inner` makes of a gradient by the gradient's root mean square.

    .. math::

        v_t = b\, v_{t-1} + (1 - b)\, |g_t|^2, \qquad P_t = \sqrt{\hat v_t} + \epsilon,
        \qquad \text{update} = \text{inner}(g_t) / P_t

    with :math:`\hat v_t = v_t / (1 - b^t)` if `debias`, else :math:`v_t`. Unlike
    `optax.scale_by_rms` after `inner`, the moment is that of the raw gradient. `inner`
    is passed :math:`P_t` as the extra argument `metric=`, in which a `contest` measures
    conflict, and an aggregator too: then gradients come in with a player axis, the
    moment is that of the mean of all players that are present and finite, and what the
    aggregator promises holds for its update divided by :math:`P_t`.

    `then` comes after the division and is passed `metric=` too. A proximal step there,
    after the learning rate :math:`\eta`, makes the step a proximal one in the metric:

    .. math::

        p \leftarrow \operatorname*{argmin}_x\; \text{penalty}(x)
        + \text{inner}(g) \cdot x + \tfrac{1}{2 \eta} \sum_i P_i (x_i - p_i)^2

    With a convex penalty, what it leaves alone does not depend on :math:`P`: the points
    where loss plus penalty is stationary. A proximal step after `precondition` leaves
    other points alone, since it does not know the metric.

    Args:
      inner: a transformation, such as a `contest` with or without momentum, or an
        aggregator.
      decay: :math:`b` in [0, 1), or a schedule.
      eps: :math:`\epsilon` above 0, in units of the gradient.
      debias: whether to divide out the zero start.
      as_metric: whether `inner` gets the metric. If not, conflict is measured in plain
        coordinates and only the update is divided.
      then: None, or a transformation of the divided update, whose last part may be a
        proximal step such as `soft_threshold`. It always gets the metric. For
        `optax.masked` and `optax.partition` to hand it on, they need
        `mask_compatible_extra_args=True`.

    Returns:
      A transformation. Where a gradient is not finite, its second moment is left as it
      was.

    Example:
      An L1 penalty of weight 2. The metric is the gradient's size, so one weight moves
      from 1 by `0.125 * (4 + 2) / 4`, and the other, which the loss hardly holds, to 0:

      >>> import jax.numpy as jnp, neat_optax as neo, optax
      >>> lasso = optax.chain(
      ...     optax.scale_by_learning_rate(0.125),
      ...     neo.sparsity.soft_threshold(0.125 * 2),
      ... )
      >>> inner = neo.scale_by_neat(0.0)
      >>> tx = precondition(inner, decay=0.5, debias=True, then=lasso)
      >>> p, g = jnp.ones(2), jnp.array([4.0, 0.1])
      >>> u, _ = tx.update(g, tx.init(p), p)
      >>> print(optax.apply_updates(p, u))
      [0.8125 0.    ]

    References:
      Kingma and Ba, "Adam", 2015, Algorithm 1, for the moment and its debiasing.
    """
    _checks.check_number("decay", decay, "[0, 1)")
    _checks.check_number("eps", eps, "(0, inf)")
    _checks.check_bool("debias", debias)
    _checks.check_bool("as_metric", as_metric)
    inner = optax.with_extra_args_support(inner)
    if then is not None:
        _checks.check_kind("then", then, optax.GradientTransformation)
        then = optax.with_extra_args_support(then)

    def init_fn(params: optax.Params) -> PreconditionState:
        _checks.check_inexact("params", params)
        moment = jax.tree.map(
            lambda p: jnp.zeros_like(p, dtype=jnp.finfo(p.dtype).dtype), params
        )
        step = jnp.zeros((), jnp.int32)
        after = () if then is None else then.init(params)
        return PreconditionState(step, moment, inner.init(params), after)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, PreconditionState]:
        updates = _factored.explicit(updates)
        rate = value_at(decay, state.step)
        step = _tree.increment(state.step)
        moment = jax.tree.map(
            lambda g, v: _advance(g, v, rate),
            _mean_of_players(updates, state.second_moment, extra_args.get("present")),
            state.second_moment,
        )
        correction = 1 - rate**step if debias else 1.0
        metric = jax.tree.map(
            lambda v: _tree.root(_tree.widen(v) / correction) + eps, moment
        )
        known = {**extra_args, "metric": metric}
        seen = known if as_metric else extra_args
        updates, inner_state = inner.update(updates, state.inner, params, **seen)
        updates = jax.tree.map(lambda u, p: (u / p).astype(u.dtype), updates, metric)
        after = state.then
        if then is not None:
            updates, after = then.update(updates, after, params, **known)
        return updates, PreconditionState(step, moment, inner_state, after)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _mean_of_players(
    updates: optax.Updates, like: optax.Params, present: ArrayLike | None
) -> optax.Updates:
    """The mean of the players that take part; single gradients are left alone."""
    leaves = jax.tree.leaves(updates)
    pairs = zip(leaves, jax.tree.leaves(like), strict=True)
    if not any(jnp.ndim(g) > jnp.ndim(v) for g, v in pairs):
        return updates
    takes_part = jnp.isfinite(_stacked.largest_entry(leaves))
    if present is not None:
        takes_part = takes_part & jnp.asarray(present, bool)
    count = jnp.sum(takes_part)
    weights = takes_part / jnp.maximum(count, 1)

    def mean(g: jax.Array) -> jax.Array:
        of_all = _stacked.weighted_sum(weights, takes_part, _tree.widen(g))
        return jnp.where(count > 0, of_all, jnp.nan)  # no gradient: the moment stays

    return jax.tree.map(mean, updates)


def _advance(gradient: jax.Array, moment: jax.Array, rate: Any) -> jax.Array:
    g = _tree.widen(gradient)
    square = jnp.real(g * jnp.conj(g))
    new = rate * _tree.widen(moment) + (1 - rate) * square
    return jnp.where(jnp.isfinite(square), new, moment).astype(moment.dtype)
