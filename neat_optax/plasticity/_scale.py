"""Scaling a gradient, entry by entry, by its plasticity."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._granularity import Granularity, entries
from neat_optax._leaves import Mask, Scope, per_leaf
from neat_optax.plasticity import _plan
from neat_optax.plasticity._formulas import scaled
from neat_optax.plasticity._plan import Plan, PlasticityState
from neat_optax.plasticity._signals import SIGNALS, Signal


def coefficients(
    signals: Sequence[Signal] = SIGNALS,
    *,
    minimum: optax.ScalarOrSchedule = 0.2,
    maximum: optax.ScalarOrSchedule = 2.0,
    strength: optax.ScalarOrSchedule = 1.0,
    granularity: Granularity = entries,
    scope: Scope = per_leaf,
    mask: Mask | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Turns gradients into plasticity coefficients, for `modulate` and `modulate_rate`.

    Args:
      signals, minimum, maximum, strength, granularity, scope, mask, monitor: see
        `scale_by_plasticity`.

    Returns:
      A transformation whose updates are the real coefficients, of the gradients'
      shapes; 1 for the leaves that `mask` leaves out.

    Example:
      >>> import jax.numpy as jnp
      >>> tx, g = coefficients(), jnp.array([1.0, -3.0])
      >>> alpha, _ = tx.update(g, tx.init(g))
      >>> [round(x, 4) for x in alpha.tolist()]
      [0.6, 1.4]
    """
    bounds = minimum, maximum
    plan = _plan.make_plan(signals, bounds, strength, granularity, scope, mask, monitor)

    def combine(
        alphas: dict[int, jax.Array], gradients: list[jax.Array]
    ) -> list[jax.Array]:
        return [alphas.get(n, _ones(g)) for n, g in enumerate(gradients)]

    return _transformation(plan, combine)


@cites("neuroplastic2026")
def scale_by_plasticity(
    signals: Sequence[Signal] = SIGNALS,
    *,
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

        a = \operatorname{clip}\Bigl(\sum_k w_k \frac{S_k}{\overline{S_k}}\Bigr), \quad
        a_g = \operatorname{clip}\Bigl(\frac{|g|}{\overline{|g|}}\Bigr), \quad
        \alpha = \operatorname{clip}\bigl(a_g + s\, (a - a_g)\bigr), \quad
        u = \alpha\, g

    with a bar for the mean over the scope and every clip to
    :math:`[\alpha_{\min}, \alpha_{\max}]`.

    Args:
      signals: the :math:`S_k` with their weights :math:`w_k`: `gradient`, `activity`,
        `memory`, or a `Signal` of your own. By default 0.4, 0.4 and 0.2 of these three.
        The ablation to the gradient alone is `[gradient(1.0)]`; it has the same bounds.
        A weight of the Python number 0 allocates no buffer.
      minimum: :math:`\alpha_{\min}` at least 0, or a schedule.
      maximum: :math:`\alpha_{\max}` at least `minimum`, or a schedule.
      strength: :math:`s` at least 0, or a schedule:
        `optax.linear_schedule(0.0, 1.0, steps)` starts from the gradient alone. Above
        1 it exaggerates, inside the bounds.
      granularity: what shares one coefficient, the mean of its entries' mixtures:
        `entries`, `units(axis)`, `blocks(...)` or `arrays` of `neat_optax.sparsity`.
      scope: over what the mean of a signal is taken: `per_leaf`, `whole_tree` or
        `by_label(...)`.
      mask: which leaves take part, as in optax: a tree of booleans with the structure
        of the parameters, or of a prefix of it, or a function from the parameters to
        such a tree; all by default. Other leaves are returned as they are.
      monitor: whether to record the coefficients for `diagnostics`.

    Returns:
      A transformation that keeps the averages of its signals in float32 or wider: three
      buffers like the parameters by default. An entry whose gradient is not finite, or
      has no finite square, counts as 0.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax.plasticity import gradient
      >>> tx, g = scale_by_plasticity([gradient(1.0)]), jnp.array([1.0, -3.0])
      >>> tx.update(g, tx.init(g))[0].tolist()
      [0.5, -4.5]

    References:
      NeuroPlastic Optimizer, version 0.1.0. The differences are in docs/math.md.
    """
    bounds = minimum, maximum
    plan = _plan.make_plan(signals, bounds, strength, granularity, scope, mask, monitor)

    def combine(
        alphas: dict[int, jax.Array], gradients: list[jax.Array]
    ) -> list[jax.Array]:
        columns = enumerate(gradients)
        return [scaled(alphas[n], g) if n in alphas else g for n, g in columns]

    return _transformation(plan, combine)


def _ones(gradient: jax.Array) -> jax.Array:
    return jnp.ones_like(jnp.real(_tree.widen(gradient)))


def _transformation(
    plan: Plan, combine: Callable[..., list[jax.Array]]
) -> optax.GradientTransformationExtraArgs:
    """From gradients to what is made of their coefficients and themselves."""

    def init_fn(params: optax.Params) -> PlasticityState:
        return _plan.init(plan, params)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, PlasticityState]:
        del extra_args
        _checks.check_inexact("updates", updates)
        if params is not None:
            _checks.check_same_structure("updates", updates, "params", params)
        alphas, state = _plan.advance(plan, updates, state)
        leaves, treedef = jax.tree.flatten(updates)
        return treedef.unflatten(combine(alphas, leaves)), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
