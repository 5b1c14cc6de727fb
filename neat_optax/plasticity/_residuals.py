"""Bounds on how far a transformation may move a gradient."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._leaves import Scope, per_leaf, shortened, totals
from neat_optax._recording import Recorded
from neat_optax._schedules import value_at
from neat_optax.plasticity import _effects


class ResidualState(NamedTuple):
    """State of `bound_residual` and `orthogonal_residual`."""

    step: jax.Array  # [] int32
    inner: optax.OptState
    reference: optax.OptState  # the state of `reference`; () without one
    recorded: Recorded | tuple[()]  # () unless monitored


def bound_residual(
    inner: optax.GradientTransformation,
    ratio: optax.ScalarOrSchedule = 0.5,
    *,
    scope: Scope = per_leaf,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Bounds the distance of an update from the gradient.

    .. math:: d = \text{inner}(g) - g, \qquad
        u = g + d\, \min\Bigl(1, \frac{r\, \|g\|}{\|d\|}\Bigr)

    Args:
      inner: the transformation, such as `scale_by_plasticity`. No learning rate: its
        updates are compared with gradients.
      ratio: :math:`r` at least 0, or a schedule.
      scope: what shares one norm: `per_leaf`, `whole_tree` or `by_label(...)`.
      monitor: whether to record :math:`d` for `diagnostics`.

    Returns:
      A transformation. A scope whose gradient has no finite norm gets the update 0;
      where only :math:`d` has none, the gradient is returned.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx, g = bound_residual(optax.scale(3.0), 0.5), jnp.array([3.0, 4.0])
      >>> tx.update(g, tx.init(g))[0].tolist()
      [4.5, 6.0]

    References:
      NeuroPlastic Optimizer, version 0.1.0, its bounded residual.
    """
    inner = optax.with_extra_args_support(inner)
    _checks.check_number("ratio", ratio, "[0, inf)")
    _checks.check_kind("scope", scope, Scope)
    _checks.check_bool("monitor", monitor)

    def init_fn(params: optax.Params) -> ResidualState:
        step, recorded = _start(params, scope, monitor)
        return ResidualState(step, inner.init(params), (), recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ResidualState]:
        moved, inner_state = inner.update(updates, state.inner, params, **extra_args)
        g, treedef, owners = _leaves(updates, scope)
        d = [_tree.widen(m) - x for m, x in zip(jax.tree.leaves(moved), g, strict=True)]
        gg, dd = _squares(owners, g), _squares(owners, d)
        wanted = [1.0] * len(g)
        factors = _bounded(wanted, gg, dd, value_at(ratio, state.step))
        out = [_add(*leaf) for leaf in zip(g, gg, d, dd, factors, strict=True)]
        parts = d, d, wanted, factors
        recorded = _record(state, owners, g, *parts) if monitor else ()
        step = _tree.increment(state.step)
        state = ResidualState(step, inner_state, (), recorded)
        return _as(updates, treedef, out), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def orthogonal_residual(
    inner: optax.GradientTransformation,
    reference: optax.GradientTransformation | None = None,
    *,
    strength: optax.ScalarOrSchedule = 0.1,
    ratio: optax.ScalarOrSchedule = 0.5,
    match_norm: bool = False,
    scope: Scope = per_leaf,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Adds to a gradient the part of another direction orthogonal to it.

    .. math::

        s = \text{inner}(g) - \text{reference}(g), \qquad
        o = s - \frac{s \cdot g}{g \cdot g}\, g, \qquad
        u = g + \lambda\, o \min\Bigl(1, \frac{r\, \|g\|}{\|\lambda\, o\|}\Bigr)

    The component of the update along the gradient is the gradient itself, so the step
    descends.

    Args:
      inner: a transformation, such as `scale_by_plasticity`, without learning rate.
      reference: what its update is compared with; None for the gradient.
      strength: :math:`\lambda` at least 0, or a schedule.
      ratio: :math:`r` at least 0, or a schedule.
      match_norm: whether to scale :math:`o` to the norm of :math:`g` first.
      scope: what shares inner products: `per_leaf`, `whole_tree` or `by_label(...)`.
      monitor: whether to record :math:`s` and what is added for `diagnostics`.

    Returns:
      A transformation. A scope whose gradient has no finite norm gets the update 0;
      where only :math:`o` has none, the gradient is returned.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> g = jnp.array([3.0, 4.0])
      >>> tx = orthogonal_residual(optax.scale_by_sign(), strength=1.0)
      >>> [round(x, 4) for x in tx.update(g, tx.init(g))[0].tolist()]
      [3.16, 3.88]

    References:
      NeuroPlastic Optimizer, version 0.1.0, its orthogonal residual.
    """
    inner = optax.with_extra_args_support(inner)
    other = optax.with_extra_args_support(reference or optax.identity())
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_number("ratio", ratio, "[0, inf)")
    _checks.check_bool("match_norm", match_norm)
    _checks.check_kind("scope", scope, Scope)
    _checks.check_bool("monitor", monitor)

    def init_fn(params: optax.Params) -> ResidualState:
        step, recorded = _start(params, scope, monitor)
        return ResidualState(step, inner.init(params), other.init(params), recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ResidualState]:
        moved, inner_state = inner.update(updates, state.inner, params, **extra_args)
        base, other_state = other.update(updates, state.reference, params, **extra_args)
        g, treedef, owners = _leaves(updates, scope)
        pairs = zip(jax.tree.leaves(moved), jax.tree.leaves(base), strict=True)
        signals = [_tree.widen(a) - _tree.widen(b) for a, b in pairs]
        gg, o = _across(owners, g, signals)
        oo = _squares(owners, o)
        wanted = _wanted(gg, oo, value_at(strength, state.step), match_norm)
        factors = _bounded(wanted, gg, oo, value_at(ratio, state.step))
        out = [_add(*leaf) for leaf in zip(g, gg, o, oo, factors, strict=True)]
        parts = signals, o, wanted, factors
        recorded = _record(state, owners, g, *parts) if monitor else ()
        step = _tree.increment(state.step)
        state = ResidualState(step, inner_state, other_state, recorded)
        return _as(updates, treedef, out), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _across(
    owners: Sequence[int], gradients: Sequence[jax.Array], signals: Sequence[jax.Array]
) -> tuple[list[jax.Array], list[jax.Array]]:
    """The squared norms of gradients, and the parts of signals orthogonal to them."""
    gg = _squares(owners, gradients)
    sg = _inner(owners, signals, gradients)
    along = [_tree.safe_divide(a, b) for a, b in zip(sg, gg, strict=True)]
    columns = zip(signals, along, gradients, gg, strict=True)
    return gg, [jnp.where(b > 0, s - c * g, 0) for s, c, g, b in columns]


def _wanted(
    gradients: Sequence[jax.Array],
    residuals: Sequence[jax.Array],
    strength: Any,
    match_norm: bool,
) -> list[Any]:
    """What orthogonal parts are multiplied by, had the ratio no effect."""
    if not match_norm:
        return [strength] * len(gradients)
    pairs = zip(gradients, residuals, strict=True)
    return [strength * _tree.safe_divide(jnp.sqrt(a), jnp.sqrt(b)) for a, b in pairs]


def _bounded(
    wanted: Sequence[Any],
    gradients: Sequence[jax.Array],
    residuals: Sequence[jax.Array],
    ratio: Any,
) -> list[jax.Array]:
    """Those factors, smaller where the ratio asks for it; from squared norms."""
    columns = zip(wanted, gradients, residuals, strict=True)
    return [
        factor * shortened(factor * jnp.sqrt(b), ratio * jnp.sqrt(a))
        for factor, a, b in columns
    ]


def _start(
    params: optax.Params, scope: Scope, monitor: bool
) -> tuple[jax.Array, Recorded | tuple[()]]:
    """The first step number, and what is recorded before it."""
    count = scope.count(params)
    recorded = _effects.start(_effects.ResidualRecord, count, monitor)
    return jnp.zeros((), jnp.int32), recorded


def _record(
    state: ResidualState,
    owners: Sequence[int],
    g: Sequence[jax.Array],
    s: Sequence[jax.Array],
    d: Sequence[jax.Array],
    wanted: Sequence[ArrayLike],
    factors: Sequence[jax.Array],
) -> Recorded:
    """The next record, from gradients, signals, and residuals before their factor."""
    products = [
        _inner(owners, *pair) for pair in ((g, g), (g, s), (s, s), (g, d), (d, d))
    ]
    columns = *products, wanted, factors
    return _effects.record(state, owners, g, _effects.of_residual, *columns)


def _leaves(
    updates: optax.Updates, scope: Scope
) -> tuple[list[jax.Array], Any, tuple[int, ...]]:
    """The widened leaves of a gradient, its structure, and the scope of each leaf."""
    _checks.check_inexact("updates", updates)
    leaves, treedef = jax.tree.flatten(updates)
    return [_tree.widen(x) for x in leaves], treedef, scope.owners(updates)


def _squares(owners: Sequence[int], leaves: Sequence[jax.Array]) -> list[jax.Array]:
    return _inner(owners, leaves, leaves)


def _inner(
    owners: Sequence[int], left: Sequence[jax.Array], right: Sequence[jax.Array]
) -> list[jax.Array]:
    """For each leaf, the inner product over its scope."""
    return totals(
        owners, [_tree.inner(*pair) for pair in zip(left, right, strict=True)]
    )


def _add(
    gradient: jax.Array,
    squared: jax.Array,
    residual: jax.Array,
    residual_squared: jax.Array,
    factor: jax.Array,
) -> jax.Array:
    """Gradient plus residual; what has no finite norm counts as 0."""
    added = jnp.where(jnp.isfinite(residual_squared), factor * residual, 0)
    return jnp.where(jnp.isfinite(squared), gradient + added, 0)


def _as(
    updates: optax.Updates, treedef: Any, leaves: Sequence[jax.Array]
) -> optax.Updates:
    pairs = zip(leaves, jax.tree.leaves(updates), strict=True)
    return treedef.unflatten([new.astype(old.dtype) for new, old in pairs])
