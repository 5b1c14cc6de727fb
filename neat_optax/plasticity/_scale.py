"""Scaling a gradient, entry by entry, by its plasticity."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._granularity import Granularity, entries
from neat_optax._leaves import Mask, Scope, per_leaf
from neat_optax.plasticity import _plan
from neat_optax.plasticity._signals import scaled


def coefficients(
    *,
    activity_weight: optax.ScalarOrSchedule = 0.4,
    gradient_weight: optax.ScalarOrSchedule = 0.4,
    memory_weight: optax.ScalarOrSchedule = 0.2,
    activity_decay: optax.ScalarOrSchedule = 0.95,
    momentum_decay: optax.ScalarOrSchedule = 0.9,
    variance_decay: optax.ScalarOrSchedule = 0.99,
    minimum: optax.ScalarOrSchedule = 0.2,
    maximum: optax.ScalarOrSchedule = 2.0,
    strength: optax.ScalarOrSchedule = 1.0,
    granularity: Granularity = entries,
    scope: Scope = per_leaf,
    mask: Mask | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Turns gradients into plasticity coefficients, for wrappers that ask for them.

    Args:
      activity_weight, gradient_weight, memory_weight, activity_decay, momentum_decay,
        variance_decay, minimum, maximum, strength, granularity, scope, mask,
        monitor: see `scale_by_plasticity`.

    Returns:
      A transformation whose updates are the real coefficients, of the gradients'
      shapes; 1 for the leaves that `where` leaves out.

    Example:
      >>> import jax.numpy as jnp
      >>> tx, g = coefficients(), jnp.array([1.0, -3.0])
      >>> alpha, _ = tx.update(g, tx.init(g))
      >>> [round(x, 4) for x in alpha.tolist()]
      [0.6, 1.4]
    """
    plan = _plan.make_plan(
        activity_weight=activity_weight,
        gradient_weight=gradient_weight,
        memory_weight=memory_weight,
        activity_decay=activity_decay,
        momentum_decay=momentum_decay,
        variance_decay=variance_decay,
        minimum=minimum,
        maximum=maximum,
        strength=strength,
        granularity=granularity,
        scope=scope,
        mask=mask,
        monitor=monitor,
    )

    def update_fn(updates, state, params=None, **extra_args):
        del extra_args
        _check(updates, params)
        alphas, state = _plan.advance(plan, updates, state)
        leaves, treedef = jax.tree.flatten(updates)
        given = [alphas.get(n, _ones(g)) for n, g in enumerate(leaves)]
        return treedef.unflatten(given), state

    return _transformation(plan, update_fn)


def scale_by_plasticity(
    *,
    activity_weight: optax.ScalarOrSchedule = 0.4,
    gradient_weight: optax.ScalarOrSchedule = 0.4,
    memory_weight: optax.ScalarOrSchedule = 0.2,
    activity_decay: optax.ScalarOrSchedule = 0.95,
    momentum_decay: optax.ScalarOrSchedule = 0.9,
    variance_decay: optax.ScalarOrSchedule = 0.99,
    minimum: optax.ScalarOrSchedule = 0.2,
    maximum: optax.ScalarOrSchedule = 2.0,
    strength: optax.ScalarOrSchedule = 1.0,
    granularity: Granularity = entries,
    scope: Scope = per_leaf,
    mask: Mask | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Scales each entry of a gradient by how plastic its weight is.

    .. math::

        A_t = d_A A_{t-1} + (1 - d_A) |g_t|, \quad
        M_t = d_M M_{t-1} + (1 - d_M)\, g_t, \quad
        V_t = d_V V_{t-1} + (1 - d_V) |g_t|^2

    .. math::

        a = \operatorname{clip}\Bigl(w_A \frac{A_t}{\overline{A_t}}
        + w_g \frac{|g_t|}{\overline{|g_t|}}
        + w_M \frac{|M_t| / \sqrt{V_t}}{\overline{|M_t| / \sqrt{V_t}}}\Bigr), \quad
        a_g = \operatorname{clip}\Bigl(\frac{|g_t|}{\overline{|g_t|}}\Bigr)

    .. math::

        u_t = \alpha\, g_t, \qquad
        \alpha = \operatorname{clip}\bigl(a_g + s\, (a - a_g)\bigr)

    with a bar for the mean over the scope and every clip to
    :math:`[\alpha_{\min}, \alpha_{\max}]`.

    Args:
      activity_weight: :math:`w_A` at least 0, or a schedule.
      gradient_weight: :math:`w_g`, likewise. The ablation to the gradient alone is 0,
        1, 0 for activity, gradient and memory; it has the same bounds.
      memory_weight: :math:`w_M`, likewise. A weight of the Python number 0 allocates
        no buffer.
      activity_decay: :math:`d_A` in [0, 1), or a schedule.
      momentum_decay: :math:`d_M`, likewise.
      variance_decay: :math:`d_V`, likewise.
      minimum: :math:`\alpha_{\min}` at least 0, or a schedule.
      maximum: :math:`\alpha_{\max}` at least `minimum`, or a schedule.
      strength: :math:`s` at least 0, or a schedule:
        `optax.linear_schedule(0.0, 1.0, steps)` starts from the gradient alone. Above
        1 it exaggerates, inside the bounds.
      granularity: what shares one coefficient, the mean of its entries' mixtures:
        `entries`, `units(axis)`, `blocks(...)` or `arrays` of `neat_optax.sparsity`.
      scope: over what the mean of a signal is taken: `per_leaf`, `whole_tree` or
        `by_label(...)`.
      mask: from a path such as "dense/kernel" and an array to whether it takes part;
        by default every leaf does. Other leaves are handed on as they are.
      monitor: whether to record the coefficients for `diagnostics`.

    Returns:
      A transformation with at most three buffers like the parameters, in float32 or
      wider. An entry whose gradient is not finite, or has no finite square, counts as
      0.

    Example:
      >>> import jax.numpy as jnp
      >>> alone = dict(activity_weight=0, gradient_weight=1, memory_weight=0)
      >>> tx = scale_by_plasticity(**alone)
      >>> g = jnp.array([1.0, -3.0])
      >>> tx.update(g, tx.init(g))[0].tolist()
      [0.5, -4.5]

    References:
      NeuroPlastic Optimizer, version 0.1.0. The differences are in docs/math.md.
    """
    plan = _plan.make_plan(
        activity_weight=activity_weight,
        gradient_weight=gradient_weight,
        memory_weight=memory_weight,
        activity_decay=activity_decay,
        momentum_decay=momentum_decay,
        variance_decay=variance_decay,
        minimum=minimum,
        maximum=maximum,
        strength=strength,
        granularity=granularity,
        scope=scope,
        mask=mask,
        monitor=monitor,
    )

    def update_fn(updates, state, params=None, **extra_args):
        del extra_args
        _check(updates, params)
        alphas, state = _plan.advance(plan, updates, state)
        leaves, treedef = jax.tree.flatten(updates)
        for n, alpha in alphas.items():
            leaves[n] = scaled(alpha, leaves[n])
        return treedef.unflatten(leaves), state

    return _transformation(plan, update_fn)


def _ones(gradient: jax.Array) -> jax.Array:
    return jnp.ones_like(jnp.real(_tree.widen(gradient)))


def _transformation(plan, update_fn) -> optax.GradientTransformationExtraArgs:
    def init_fn(params):
        return _plan.init(plan, params)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _check(updates: Any, params: Any) -> None:
    _checks.check_inexact("updates", updates)
    if params is not None:
        _checks.check_same_structure("updates", updates, "params", params)
