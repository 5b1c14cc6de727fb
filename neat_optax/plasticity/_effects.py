"""Records of wrappers and stabilizers, kept in the state for each scope."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from neat_optax import _recording, _tree
from neat_optax._leaves import totals
from neat_optax._recording import Recorded
from neat_optax.conflict._alignment import Alignment


class ResidualRecord(NamedTuple):
    """What is recorded of a bounded or orthogonal residual."""

    residual_gradient_norm: jax.Array  # |g|, of the gradient that it is added to
    signal_norm: jax.Array  # of inner(g) - g, or of inner(g) - reference(g)
    residual_norm: jax.Array  # |u - g|
    residual_share: jax.Array  # |u - g| / |g|
    signal_cosine: jax.Array  # of gradient and signal, before projection
    residual_cosine: jax.Array  # of gradient and residual, 0 where there is none
    residual_shortened: jax.Array  # 1 where the ratio shortened it
    residual_skipped: jax.Array  # 1 without direction: zero, or not finite


class ModulationRecord(NamedTuple):
    """What is recorded of `modulate`, for every leaf."""

    modulation_norm: jax.Array  # |u - b|
    modulation_share: jax.Array  # |u - b| / |b|
    modulation_shortened: jax.Array  # 1 where the ratio shortened what is added
    modulation_active: jax.Array  # 1 where anything is added


class RateRecord(NamedTuple):
    """What is recorded of `modulate_rate`."""

    rate_multiplier: jax.Array
    rate_signal: jax.Array  # the mean logarithm of the ratio of coefficients
    rate_clipped: jax.Array  # 1 where a bound decided the multiplier


class ClipRecord(NamedTuple):
    """What is recorded of `clip_leaf_norm`."""

    unclipped_norm: jax.Array  # of the update that came in
    clipped: jax.Array  # 1 where it was shortened


class StabilizerRecord(NamedTuple):
    """What is recorded of `stabilize`."""

    stabilizer_gain: jax.Array
    rms_before: jax.Array  # root mean square of the update that came in
    rms_after: jax.Array  # of the one returned


def start(kind: type[Any], count: int, monitor: bool) -> Recorded | tuple[()]:
    """Zeros, or nothing where nothing is recorded."""
    if not monitor:
        return ()
    zeros = jnp.zeros((count,), jnp.float32)
    return _recording.start(kind(*[zeros] * len(kind._fields)), zeros)


def record(
    state: Any,
    owners: Sequence[int],
    leaves: Sequence[jax.Array],
    rule: Callable[..., Any],
    *columns: Sequence[ArrayLike],
) -> Recorded:
    """What is recorded after a step. What is not finite is recorded as 0.

    Args:
      state: a transformation's state, with its `step` and what is `recorded` so far.
      owners: the scope of each leaf.
      leaves: the leaves, whose sizes weigh the scopes.
      rule: from one array for each column, with an entry for each scope, to a record.
      columns: numbers of the leaves. Leaves of one scope have the same ones.
    """
    if not leaves:
        return state.recorded
    firsts = [owners.index(n) for n in range(len(set(owners)))]
    sizes = totals(owners, [float(leaf.size) for leaf in leaves])
    size, *stacked = (
        jnp.stack([jnp.asarray(column[n]) for n in firsts])
        for column in (sizes, *columns)
    )
    latest = jax.tree.map(_finite, rule(*stacked))
    size = size.astype(jnp.float32)
    return _recording.advance(state.recorded, latest, size, state.step)


def _finite(x: jax.Array) -> jax.Array:
    x = x.astype(jnp.float32)
    return jnp.where(jnp.isfinite(x), x, 0)


def of_residual(
    gg: jax.Array,
    gs: jax.Array,
    ss: jax.Array,
    gd: jax.Array,
    dd: jax.Array,
    wanted: jax.Array,
    factor: jax.Array,
) -> ResidualRecord:
    """What is recorded of gradients `g`, signals `s` and residuals `d` of all scopes.

    Args:
      gg, gs, ss, gd, dd: their inner products; those of `d` are without its factor.
      wanted: the factor of `d`, had the ratio no effect.
      factor: the factor.
    """
    residual = Alignment(gg, gd, dd)
    rounding = (8 * jnp.finfo(gg.dtype).eps) ** 2 * gg
    has_direction = (gg > 0) & (gg < jnp.inf) & (dd < jnp.inf)
    factor = jnp.where(has_direction, factor, 0)
    return ResidualRecord(
        residual_gradient_norm=_tree.root(gg),
        signal_norm=_tree.root(ss),
        residual_norm=factor * _tree.root(dd),
        residual_share=factor * residual.norm_ratio,
        signal_cosine=jnp.where(ss > rounding, Alignment(gg, gs, ss).cosine, 0),
        residual_cosine=jnp.where((factor > 0) & (dd > rounding), residual.cosine, 0),
        residual_shortened=has_direction & (factor < wanted),
        residual_skipped=~has_direction,
    )
