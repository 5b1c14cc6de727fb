"""Plasticity on top of any optimizer: of its updates, and of its learning rate."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask, as_mask, chosen, shortened, zeros
from neat_optax._recording import Recorded
from neat_optax._schedules import value_at
from neat_optax.plasticity import _effects
from neat_optax.plasticity._formulas import averaged, usable
from neat_optax.plasticity._scale import coefficients

_LEFT_ALONE = 0.0, 0.0, 1.0  # for a leaf that is not modulated, what `_moved` gives


class Target(NamedTuple):
    """What plasticity modulates.

    `direction(update, param, momentum)` gives the array :math:`X` of one leaf.
    `decay` is that of the momentum, or None where it keeps none.
    """

    name: str
    direction: Callable[..., jax.Array]
    decay: optax.ScalarOrSchedule | None = None
    debias: bool = False
    needs_params: bool = False

    def __repr__(self) -> str:
        return f"<target {self.name}>"


class ModulateState(NamedTuple):
    """State of `modulate`."""

    step: jax.Array  # [] int32
    base: optax.OptState
    plasticity: optax.OptState
    momentum: Any  # of the modulated leaves; () unless the target is a momentum
    recorded: Recorded | tuple[()]  # () unless monitored


def _trust_ratio(update: jax.Array, param: jax.Array, momentum: Any) -> jax.Array:
    del momentum
    norms = [_tree.root(_tree.inner(x, x)) for x in (param, update)]
    # An update of zero has any ratio: whatever it is, it multiplies zero.
    return (jnp.clip(_tree.safe_divide(*norms), 0.5, 1.5) - 1) * update


def _update(update: jax.Array, param: Any, momentum: Any) -> jax.Array:
    del param, momentum
    return update


def _average(update: Any, param: Any, momentum: jax.Array) -> jax.Array:
    del update, param
    return momentum


gain = Target("gain", _update)
"""The update itself: each entry has its own gain."""

trust_ratio = Target("trust_ratio", _trust_ratio, needs_params=True)
"""`(clip(|p| / |b|, 0.5, 1.5) - 1) b`, the update on its way to the length of the
parameters, like the trust ratio of LAMB."""


def momentum_target(
    decay: optax.ScalarOrSchedule = 0.9, *, debias: bool = True
) -> Target:
    r"""The average of the gradients, kept by the transformation.

    .. math:: M_t = d\, M_{t-1} + (1 - d)\, g_t, \qquad X = M_t / (1 - d^t)

    Args:
      decay: :math:`d` in [0, 1), or a schedule.
      debias: whether to divide out the zero start.
    """
    _checks.check_number("decay", decay, "[0, 1)")
    _checks.check_bool("debias", debias)
    return Target("momentum", _average, decay, debias)


@cites("neuroplastic2026")
def modulate(
    base: optax.GradientTransformation,
    plasticity: optax.GradientTransformation | None = None,
    *,
    target: Target = gain,
    strength: optax.ScalarOrSchedule = 0.15,
    ratio: optax.ScalarOrSchedule = 0.25,
    mask: Mask | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Lets plasticity modulate what any transformation returns.

    .. math::

        b = \text{base}(g), \qquad d = s\, (\alpha - 1)\, X, \qquad
        u = b + d\, \min\Bigl(1, \frac{r\, \|b\|}{\|d\|}\Bigr)

    per leaf.

    Args:
      base: any transformation: `optax.scale_by_adam()`, `optax.trace(0.9)`,
        `optax.scale_by_lion()`. With the targets `momentum_target` and `trust_ratio` it
        has no learning rate, which goes after `modulate`.
      plasticity: from gradients to :math:`\alpha`; `coefficients(mask=mask)` by
        default. One of your own may leave out the same leaves, to save their averages.
      target: :math:`X`: `gain` is :math:`b`, `momentum_target(decay)` the average of
        the gradients, `trust_ratio` what brings :math:`b` nearer to :math:`\|p\|`.
      strength: :math:`s` at least 0, or a schedule: phases of training are schedules.
      ratio: :math:`r` at least 0, or a schedule.
      mask: which leaves are modulated, as in `scale_by_plasticity`; all by default.
      monitor: whether to record what is added for `diagnostics`.

    Returns:
      A transformation. Where an update or what is added has no finite norm, nothing is
      added to what `base` returns.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = optax.chain(modulate(optax.scale_by_adam()), optax.scale(-0.1))
      >>> p, g = jnp.ones(2), jnp.array([1.0, -3.0])
      >>> [round(x, 4) for x in tx.update(g, tx.init(p), p)[0].tolist()]
      [-0.094, 0.106]

    References:
      NeuroPlastic Optimizer, version 0.1.0, its hybrid bases.
    """
    base = optax.with_extra_args_support(base)
    given = coefficients(mask=mask) if plasticity is None else plasticity
    alphas_of = optax.with_extra_args_support(given)
    _checks.check_kind("target", target, Target)
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_number("ratio", ratio, "[0, inf)")
    _checks.check_bool("monitor", monitor)
    mask = as_mask(mask)

    def init_fn(params: optax.Params) -> ModulateState:
        _checks.check_inexact("params", params)
        kept = () if target.decay is None else zeros(params, mask)
        states = base.init(params), alphas_of.init(params)
        count = len(jax.tree.leaves(params))
        recorded = _effects.start(_effects.ModulationRecord, count, monitor)
        return ModulateState(jnp.zeros((), jnp.int32), *states, kept, recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ModulateState]:
        if target.needs_params:
            _checks.check_params(params, "modulate with this target")
        step = _tree.increment(state.step)
        alphas, alpha_state = alphas_of.update(
            updates, state.plasticity, params, **extra_args
        )
        bases, base_state = base.update(updates, state.base, params, **extra_args)
        numbers = chosen(updates, mask)
        averages, kept = _momentum(target, updates, state, step, numbers)
        leaves, treedef = jax.tree.flatten(bases)
        columns = [_column(x, len(leaves)) for x in (alphas, params)]
        amounts = value_at(strength, state.step), value_at(ratio, state.step)
        found: list[tuple[Any, ...]] = [_LEFT_ALONE] * len(leaves)
        for n in numbers:
            alpha, param = (column[n] for column in columns)
            x = target.direction(_tree.widen(leaves[n]), param, averages.get(n))
            leaves[n], found[n] = _moved(leaves[n], (alpha - 1) * x, *amounts)
        recorded = _record(state, leaves, found) if monitor else ()
        state = ModulateState(step, base_state, alpha_state, kept, recorded)
        return treedef.unflatten(leaves), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _moved(
    base: jax.Array, direction: jax.Array, strength: Any, ratio: Any
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """An update plus what is added to it, bounded; their norms, and the bound's factor.

    The second norm is that of what is added, before the bound: 0 where nothing is.
    """
    b, d = _tree.widen(base), strength * direction
    squares = _tree.inner(b, b), _tree.inner(d, d)
    lengths = _tree.root(squares[0]), _tree.root(squares[1])
    factor = shortened(lengths[1], ratio * lengths[0])
    finite = jnp.isfinite(squares[0]) & jnp.isfinite(squares[1])
    moved = jnp.where(finite, b + factor * d, b).astype(base.dtype)
    return moved, (lengths[0], jnp.where(finite, lengths[1], 0), factor)


def _record(
    state: ModulateState, leaves: list[jax.Array], found: list[tuple[ArrayLike, ...]]
) -> Recorded:
    """What is recorded next."""
    columns = zip(*found, strict=True)
    return _effects.record(state, range(len(leaves)), leaves, _measured, *columns)


def _measured(
    base_norm: jax.Array, norm: jax.Array, factor: jax.Array
) -> _effects.ModulationRecord:
    """What is recorded, from what `_moved` says of all leaves."""
    added = factor * norm
    return _effects.ModulationRecord(
        modulation_norm=added,
        modulation_share=_tree.safe_divide(added, base_norm),
        modulation_shortened=(norm > 0) & (factor < 1),
        modulation_active=added > 0,
    )


def _momentum(
    target: Target,
    updates: optax.Updates,
    state: ModulateState,
    step: jax.Array,
    numbers: list[int],
) -> tuple[dict[int, jax.Array], Any]:
    """The averages that a target looks at, by leaf, and those to keep."""
    if target.decay is None:
        return {}, ()
    rate = value_at(target.decay, state.step)
    leaves, treedef = jax.tree.flatten(updates)
    kept = treedef.flatten_up_to(state.momentum)
    for n in numbers:
        old = kept[n]
        kept[n] = averaged(old, usable(leaves[n]), rate).astype(old.dtype)
    correction = 1 - rate**step if target.debias else 1.0
    return {n: kept[n] / correction for n in numbers}, treedef.unflatten(kept)


def _column(tree: Any, count: int) -> list[Any]:
    return [None] * count if tree is None else jax.tree.leaves(tree)
