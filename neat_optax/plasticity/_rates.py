"""A learning rate for each group, from the plasticity of its weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, per_leaf, totals
from neat_optax._recording import Recorded
from neat_optax._schedules import value_at
from neat_optax.plasticity import _effects
from neat_optax.plasticity._scale import coefficients
from neat_optax.plasticity._signals import gradient


class ModulateRateState(NamedTuple):
    """State of `modulate_rate`."""

    step: jax.Array  # [] int32
    inner: optax.OptState
    plasticity: optax.OptState
    reference: optax.OptState
    recorded: Recorded | tuple[()]  # () unless monitored


@cites("neuroplastic2026")
def modulate_rate(
    inner: optax.GradientTransformation,
    plasticity: optax.GradientTransformation | None = None,
    reference: optax.GradientTransformation | None = None,
    *,
    strength: optax.ScalarOrSchedule = 0.1,
    minimum: optax.ScalarOrSchedule = 0.8,
    maximum: optax.ScalarOrSchedule = 1.2,
    scope: Scope = per_leaf,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Multiplies the updates of each scope by how plastic its weights are.

    .. math::

        u = \text{inner}(g) \cdot \operatorname{clip}\Bigl(1 + s\,
        \overline{\log(\alpha / \alpha_g)},\; m_{\min},\; m_{\max}\Bigr)

    The mean is over the entries of a leaf, and then over the leaves of a scope, which
    count the same whatever their size.

    Args:
      inner: the optimizer.
      plasticity: from gradients to :math:`\alpha`; `coefficients()` by default.
      reference: from gradients to :math:`\alpha_g`; by default the coefficients of the
        gradient alone, in the same bounds as the default of `plasticity`.
      strength: :math:`s` at least 0, or a schedule.
      minimum: :math:`m_{\min}` above 0, or a schedule.
      maximum: :math:`m_{\max}` at least `minimum`, or a schedule.
      scope: the groups: `per_leaf`, `whole_tree` or `by_label(...)`.
      monitor: whether to record the multipliers for `diagnostics`.

    Returns:
      A transformation. An entry where a coefficient is 0 counts as 0 in the mean.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx, g = modulate_rate(optax.sgd(0.1)), jnp.array([0.5, 1.0, 8.0])
      >>> [round(x, 4) for x in tx.update(g, tx.init(g))[0].tolist()]
      [-0.0514, -0.1028, -0.8227]

    References:
      NeuroPlastic Optimizer, version 0.1.0, its learning-rate controller.
    """
    inner = optax.with_extra_args_support(inner)
    alone = coefficients([gradient(1.0)])
    given = coefficients() if plasticity is None else plasticity
    parts = [given, alone if reference is None else reference]
    full, other = [optax.with_extra_args_support(part) for part in parts]
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_range("minimum, maximum", (minimum, maximum), "(0, inf)")
    _checks.check_kind("scope", scope, Scope)
    _checks.check_bool("monitor", monitor)

    def init_fn(params: optax.Params) -> ModulateRateState:
        _checks.check_inexact("params", params)
        states = inner.init(params), full.init(params), other.init(params)
        count = scope.count(params)
        recorded = _effects.start(_effects.RateRecord, count, monitor)
        return ModulateRateState(jnp.zeros((), jnp.int32), *states, recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ModulateRateState]:
        given = params, extra_args
        alphas, full_state = _call(full, updates, state.plasticity, *given)
        base, other_state = _call(other, updates, state.reference, *given)
        updates, inner_state = _call(inner, updates, state.inner, *given)
        now = [value_at(x, state.step) for x in (strength, minimum, maximum)]
        leaves, treedef = jax.tree.flatten(updates)
        pairs = zip(jax.tree.leaves(alphas), jax.tree.leaves(base), strict=True)
        owners = scope.owners(updates)
        signals = _signals(owners, list(pairs))
        factors = [_multiplier(signal, *now) for signal in signals]
        columns = zip(factors, leaves, strict=True)
        scaled = [(f * _tree.widen(u)).astype(u.dtype) for f, u in columns]
        recorded = ()
        if monitor:
            rule = lambda signal: _measured(signal, *now)  # noqa: E731
            recorded = _effects.record(state, owners, leaves, rule, signals)
        step = _tree.increment(state.step)
        states = inner_state, full_state, other_state
        state = ModulateRateState(step, *states, recorded)
        return treedef.unflatten(scaled), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _call(
    tx: optax.GradientTransformationExtraArgs,
    updates: optax.Updates,
    state: optax.OptState,
    params: Any,
    extra_args: dict[str, Any],
) -> tuple[Any, optax.OptState]:
    return tx.update(updates, state, params, **extra_args)


def _signals(
    owners: Sequence[int], pairs: Sequence[tuple[jax.Array, jax.Array]]
) -> list[jax.Array]:
    """The signal of each leaf's scope, from the two coefficients of the leaves."""
    signals = [jnp.mean(_log_ratio(*pair)) if pair[0].size else 0.0 for pair in pairs]
    counts = totals(owners, [1] * len(signals))
    sums = totals(owners, signals)
    return [total / count for total, count in zip(sums, counts, strict=True)]


def _multiplier(
    signal: jax.Array, strength: Any, minimum: Any, maximum: Any
) -> jax.Array:
    return jnp.clip(1 + strength * signal, minimum, maximum)


def _measured(
    signal: jax.Array, strength: Any, minimum: Any, maximum: Any
) -> _effects.RateRecord:
    """What is recorded of all scopes."""
    wanted = 1 + strength * signal
    return _effects.RateRecord(
        rate_multiplier=_multiplier(signal, strength, minimum, maximum),
        rate_signal=signal,
        rate_clipped=(wanted < minimum) | (wanted > maximum),
    )


def _log_ratio(alpha: jax.Array, reference: jax.Array) -> jax.Array:
    """The logarithm of a ratio of coefficients, 0 where one of them is 0."""
    positive = (alpha > 0) & (reference > 0)
    ratio = jnp.where(positive, alpha, 1) / jnp.where(positive, reference, 1)
    return jnp.log(ratio)
