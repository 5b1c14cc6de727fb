"""Bounds on an update's norm, and gains that hold its size."""

from collections.abc import Callable, Sequence
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


class GainRule(NamedTuple):
    """How a gain follows from the root mean square of an update.

    `gain(old, rms, target, rate)` gives the next gain before it is clipped. A rule that
    does not remember is always given 1 as the old one.
    """

    name: str
    gain: Callable[..., jax.Array]
    remembers: bool

    def __repr__(self) -> str:
        return f"<gain rule {self.name}>"


class ClipLeafNormState(NamedTuple):
    """State of `clip_leaf_norm`."""

    step: jax.Array  # [] int32
    recorded: Recorded | tuple[()]  # () unless monitored


class StabilizeState(NamedTuple):
    """State of `stabilize`."""

    step: jax.Array  # [] int32
    gain: Any  # float32, one entry for each scope; () where the rule does not remember
    recorded: Recorded | tuple[()]  # () unless monitored


def _towards_target(
    old: jax.Array, rms: jax.Array, target: ArrayLike, rate: ArrayLike
) -> jax.Array:
    """In logarithms, the output's distance from the target shrinks by 1 - rate."""
    ratio = target / jnp.where(rms > 0, old * rms, 1)
    return jnp.where(rms > 0, old * ratio**rate, old)


def _nudge(
    old: jax.Array, rms: jax.Array, target: jax.Array, rate: jax.Array
) -> jax.Array:
    return old + rate * (target - rms)


homeostatic = GainRule("homeostatic", _towards_target, remembers=True)
"""A controller with memory: `k <- k (target / (k rms))^rate`. While the update's size
stays, the size of what is returned approaches the target by a share `rate` of the
distance, in logarithms, at each step. No unit enters."""

memoryless = GainRule("memoryless", _nudge, remembers=False)
"""The gain of the original: `1 + rate (target - rms)`. It remembers nothing, depends on
the scale of the update, and does not reach the target."""


def clip_leaf_norm(
    max_norm: optax.ScalarOrSchedule = 1.0,
    *,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Clips the update of each leaf to a norm.

    .. math:: u \leftarrow u\, \min\Bigl(1, \frac{c}{\|u\|}\Bigr)

    `optax.clip_by_block_rms(c)` bounds :math:`\|u\| / \sqrt n` instead, which treats
    arrays of all sizes alike, and `optax.clip_by_global_norm` the norm of all leaves
    together.

    Args:
      max_norm: :math:`c` above 0, or a schedule.
      monitor: whether to record what is shortened for `diagnostics`.

    Returns:
      A transformation. A leaf without a finite norm gets the update 0.

    Example:
      >>> import jax.numpy as jnp
      >>> tx, u = clip_leaf_norm(1.0), jnp.array([3.0, 4.0])
      >>> [round(x, 4) for x in tx.update(u, tx.init(u))[0].tolist()]
      [0.6, 0.8]
    """
    _checks.check_number("max_norm", max_norm, "(0, inf)")
    _checks.check_bool("monitor", monitor)

    def init_fn(params: optax.Params) -> ClipLeafNormState:
        count = len(jax.tree.leaves(params))
        recorded = _effects.start(_effects.ClipRecord, count, monitor)
        return ClipLeafNormState(jnp.zeros((), jnp.int32), recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ClipLeafNormState]:
        del extra_args
        _check(updates, params)
        longest = value_at(max_norm, state.step)
        leaves, treedef = jax.tree.flatten(updates)
        norms = [_tree.root(_tree.inner(u, u)) for u in leaves]
        pairs = zip(leaves, norms, strict=True)
        out = [_scaled(u, shortened(norm, longest), norm) for u, norm in pairs]
        recorded = ()
        if monitor:
            owners = range(len(leaves))
            rule = lambda norm: _clipped(norm, longest)  # noqa: E731
            recorded = _effects.record(state, owners, leaves, rule, norms)
        state = ClipLeafNormState(_tree.increment(state.step), recorded)
        return treedef.unflatten(out), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _clipped(norm: jax.Array, longest: ArrayLike) -> _effects.ClipRecord:
    """What is recorded of all leaves."""
    return _effects.ClipRecord(norm, (norm > longest) & (norm < jnp.inf))


def stabilize(
    target_rms: optax.ScalarOrSchedule = 0.02,
    rate: optax.ScalarOrSchedule = 0.01,
    *,
    rule: GainRule = homeostatic,
    minimum: optax.ScalarOrSchedule = 1e-3,
    maximum: optax.ScalarOrSchedule = 1e3,
    scope: Scope = per_leaf,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Multiplies updates by a gain that brings their root mean square to a target.

    .. math:: k_t = \operatorname{clip}\Bigl(k_{t-1} \Bigl(
        \frac{\rho}{k_{t-1}\, \operatorname{rms}(u_t)}\Bigr)^{\eta},\;
        k_{\min},\; k_{\max}\Bigr), \qquad u_t \leftarrow k_t\, u_t

    with :math:`k_0 = 1`, under the rule `homeostatic`.

    Args:
      target_rms: :math:`\rho` above 0, or a schedule.
      rate: :math:`\eta` in [0, 1], or a schedule: 0 changes nothing, 1 normalizes each
        update at once.
      rule: `homeostatic`, `memoryless` (the original, whose bounds are 0.5 and 1.5),
        or a `GainRule`.
      minimum: :math:`k_{\min}` at least 0, or a schedule.
      maximum: :math:`k_{\max}` at least `minimum`, or a schedule.
      scope: what shares one gain: `per_leaf`, `whole_tree` or `by_label(...)`.
      monitor: whether to record gains and sizes for `diagnostics`.

    Returns:
      A transformation. A scope that is zero keeps its gain; one that is not finite
      gets the update 0 and keeps its gain.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> tx, u = stabilize(0.02, rate=0.5), jnp.array([3.0, -3.0])
      >>> state = tx.init(u)
      >>> for _ in range(30):
      ...     out, state = tx.update(u, state)
      >>> [round(x, 4) for x in out.tolist()]
      [0.02, -0.02]
    """
    _checks.check_number("target_rms", target_rms, "(0, inf)")
    _checks.check_number("rate", rate, "[0, 1]")
    _checks.check_kind("rule", rule, GainRule)
    _checks.check_range("minimum, maximum", (minimum, maximum), "[0, inf)")
    _checks.check_kind("scope", scope, Scope)
    _checks.check_bool("monitor", monitor)

    def init_fn(params: optax.Params) -> StabilizeState:
        count = scope.count(params)
        gain = jnp.ones((count,), jnp.float32) if rule.remembers else ()
        recorded = _effects.start(_effects.StabilizerRecord, count, monitor)
        return StabilizeState(jnp.zeros((), jnp.int32), gain, recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, StabilizeState]:
        del extra_args
        _check(updates, params)
        now = [value_at(x, state.step) for x in (target_rms, rate, minimum, maximum)]
        leaves, treedef = jax.tree.flatten(updates)
        owners = scope.owners(updates)
        rms = _rms(owners, leaves)
        old = [state.gain[n] if rule.remembers else jnp.float32(1) for n in owners]
        new = [_next_gain(rule, *pair, *now) for pair in zip(old, rms, strict=True)]
        columns = zip(leaves, new, rms, strict=True)
        updates = treedef.unflatten([_scaled(*column) for column in columns])
        gain = state.gain
        if rule.remembers and new:
            by_scope = dict(zip(owners, new, strict=True))
            gain = jnp.stack([by_scope[n] for n in range(len(by_scope))])
        recorded = ()
        if monitor:
            recorded = _effects.record(state, owners, leaves, _gained, new, rms)
        return updates, StabilizeState(_tree.increment(state.step), gain, recorded)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _gained(gain: jax.Array, rms: jax.Array) -> _effects.StabilizerRecord:
    """What is recorded of all scopes."""
    return _effects.StabilizerRecord(gain, rms, gain * rms)


def _rms(owners: Sequence[int], leaves: Sequence[jax.Array]) -> list[jax.Array]:
    """For each leaf, the root mean square of its scope."""
    squares = totals(owners, [_tree.inner(u, u) for u in leaves])
    counts = totals(owners, [float(u.size) for u in leaves])
    return [_tree.root(s / max(n, 1.0)) for s, n in zip(squares, counts, strict=True)]


def _next_gain(
    rule: GainRule,
    old: jax.Array,
    rms: jax.Array,
    target: ArrayLike,
    rate: ArrayLike,
    minimum: ArrayLike,
    maximum: ArrayLike,
) -> jax.Array:
    gain = jnp.clip(rule.gain(old, rms, target, rate), minimum, maximum)
    return jnp.where(jnp.isfinite(rms), gain, old).astype(jnp.float32)


def _scaled(update: jax.Array, gain: jax.Array, rms: jax.Array) -> jax.Array:
    scaled = jnp.where(jnp.isfinite(rms), gain * update, 0)
    return scaled.astype(update.dtype)


def _check(updates: optax.Updates, params: Any) -> None:
    _checks.check_inexact("updates", updates)
    if params is not None:
        _checks.check_same_structure("updates", updates, "params", params)
