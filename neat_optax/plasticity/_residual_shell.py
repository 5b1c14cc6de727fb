"""The shell of residuals: what is added to a gradient, and how much of it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._leaves import Scope, shortened, totals
from neat_optax._recording import Recorded
from neat_optax._schedules import value_at
from neat_optax.plasticity import _effects


class ResidualState(NamedTuple):
    """State of `bound_residual` and `orthogonal_residual`."""

    step: jax.Array  # [] int32
    inner: optax.OptState
    reference: optax.OptState  # the state of `reference`, empty without one
    recorded: Recorded | tuple[()]  # () unless monitored


def add_residual(
    inner: optax.GradientTransformation,
    reference: optax.GradientTransformation,
    part: Callable[..., Any],
    ratio: optax.ScalarOrSchedule,
    scope: Scope,
    monitor: bool,
) -> optax.GradientTransformationExtraArgs:
    """Adds a part of `inner(g) - reference(g)` to a gradient, at most as long as asked.

    Args:
      inner: the direction.
      reference: what it is compared with.
      part: from the scopes, gradients, differences and the step to the gradients'
        squared norms, what is added, its squared norms, and the factors wanted.
      ratio: of the norms of what is added and of the gradient.
      scope: what shares one norm.
      monitor: whether to record.
    """
    inner, other = map(optax.with_extra_args_support, (inner, reference))

    def init_fn(params: optax.Params) -> ResidualState:
        recorded = _effects.start(_effects.ResidualRecord, scope.count(params), monitor)
        states = inner.init(params), other.init(params)
        return ResidualState(jnp.zeros((), jnp.int32), *states, recorded)

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
        gg, d, dd, wanted = part(owners, g, signals, state.step)
        factors = _bounded(wanted, gg, dd, value_at(ratio, state.step))
        out = [_add(*leaf) for leaf in zip(g, gg, d, dd, factors, strict=True)]
        parts = signals, d, wanted, factors
        recorded = _record(state, owners, g, *parts) if monitor else ()
        step = _tree.increment(state.step)
        state = ResidualState(step, inner_state, other_state, recorded)
        return _as(updates, treedef, out), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _bounded(
    wanted: Sequence[Any],
    gradients: Sequence[jax.Array],
    residuals: Sequence[jax.Array],
    ratio: Any,
) -> list[jax.Array]:
    """Those factors, smaller where the ratio asks for it; from squared norms."""
    columns = zip(wanted, gradients, residuals, strict=True)
    return [
        factor * shortened(factor * _tree.root(b), ratio * _tree.root(a))
        for factor, a, b in columns
    ]


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
        inner_products(owners, *pair)
        for pair in ((g, g), (g, s), (s, s), (g, d), (d, d))
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


def squares(owners: Sequence[int], leaves: Sequence[jax.Array]) -> list[jax.Array]:
    return inner_products(owners, leaves, leaves)


def inner_products(
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
