"""Factors of proximal maps of `z = p + u`: 0 for a pruned, 1 for an unchanged weight.

Each factor is a pure function of one array `z`, a metric `P` like it or None for 1, and
its levels. `factor * z` minimizes `penalty(x) + P/2 |x - z|^2`. A NaN is never
pruned.
"""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._citing import cites

Metric = jax.Array | None

ROUNDS = 8
"""Rounds of the group equation. On 4000 random groups, with entries and metrics over up
to eight decades, seven reached float32, and three did for nine groups in ten."""


@cites("parikh2014proximal")
def soft(z: jax.Array, metric: Metric, strength: Any) -> jax.Array:
    """The factor of `strength |x|`."""
    return _shrink(jnp.abs(z), _in(metric, strength))


@cites("parikh2014proximal")
def elastic(z: jax.Array, metric: Metric, l1: Any, l2: Any) -> jax.Array:
    """The factor of `l1 |x| + l2/2 |x|^2`."""
    return soft(z, metric, l1) / (1 + _in(metric, l2))


@cites("blumensath2008iterative")
def hard(z: jax.Array, metric: Metric, strength: Any) -> jax.Array:
    """The factor of `strength [x != 0]`."""
    return jnp.where(jnp.abs(z) <= _tree.root(_in(metric, 2 * strength)), 0.0, 1.0)


@cites("parikh2014proximal")
def nonnegative(z: jax.Array, metric: Metric, strength: Any) -> jax.Array:
    """The factor of `strength x` over `x >= 0`."""
    _checks.check_real("params", z.dtype)
    return _shrink(z, _in(metric, strength))


def prune(z: jax.Array, metric: Metric, threshold: Any) -> jax.Array:
    """The factor of a plain threshold, in the units of the parameters."""
    del metric
    return jnp.where(jnp.abs(z) < threshold, 0.0, 1.0)


@cites("yuan2006model", "more1983computing")
def group(
    z: jax.Array, metric: Metric, strength: Any, axes: tuple[int, ...] = (-1,)
) -> jax.Array:
    """The factor of `strength |x|_2` for each group, numbered by `axes`.

    Without a metric all entries of a group share it, and it has size 1 along the group.
    """
    over = _inside(z.ndim, axes)
    if not over:
        return soft(z, metric, strength)
    size = jnp.abs(z)
    if metric is None:
        return _shrink(_norm(size, over), strength)
    force = _norm(metric * size, over)
    norm = _shrunk_norm(size, metric, force, strength, over)
    kept = _tree.safe_divide(norm, norm + strength / metric)
    return jnp.where(force <= strength, 0.0, kept)


def _in(metric: Metric, level: Any) -> Any:
    return level if metric is None else level / metric


def _shrink(size: jax.Array, level: Any) -> jax.Array:
    return jnp.where(size <= level, 0.0, 1 - _tree.safe_divide(level, size))


def _inside(ndim: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The axes inside a group: all but those that number the groups."""
    return tuple(i for i in range(ndim) if not {i, i - ndim} & set(axes))


def _largest(size: jax.Array, over: tuple[int, ...]) -> jax.Array:
    return jnp.max(size, axis=over, keepdims=True, initial=0.0)


def _norm(size: jax.Array, over: tuple[int, ...]) -> jax.Array:
    """The norm of each group, whose squares neither overflow nor vanish."""
    largest = _largest(size, over)
    relative = _tree.safe_divide(size, largest)
    return largest * _tree.root(jnp.sum(relative**2, axis=over, keepdims=True))


def _shrunk_norm(
    size: jax.Array,
    metric: jax.Array,
    force: jax.Array,
    strength: Any,
    over: tuple[int, ...],
) -> jax.Array:
    """The norm of the shrunk group: the root of its equation, in units of the group.

    The lower end is Newton's step from zero. It is the root for a constant metric.
    """
    unit = _largest(size, over)
    share = _tree.safe_divide(size, unit)
    pull = _tree.safe_divide(strength / metric, unit)
    part = _tree.safe_divide(metric * size, force)
    stiffness = jnp.sum(part**2 * metric, axis=over, keepdims=True)
    high = _tree.root(jnp.sum(share**2, axis=over, keepdims=True))
    low = _tree.safe_divide(_tree.safe_divide(force - strength, stiffness), unit)
    return unit * _root(share, pull, jnp.clip(low, 0, high), high, over)


def _root(
    share: jax.Array,
    pull: jax.Array,
    low: jax.Array,
    high: jax.Array,
    over: tuple[int, ...],
) -> jax.Array:
    r"""Solves :math:`|x(n)| = n` with :math:`x_i = s_i n / (n + p_i)` between two ends.

    :math:`n / |x(n)| - 1` is increasing and concave in `n`. So Newton's step, from
    whichever side, is a lower bound of the root. Each round takes it from the lower
    end, which is fast near the root, and from the geometric middle, which halves the
    range far away.
    """

    def newton(n: jax.Array) -> tuple[jax.Array, jax.Array]:
        keep = _tree.safe_divide(n, n + pull)
        squares = (share * keep) ** 2
        total = jnp.sum(squares, axis=over, keepdims=True)
        slope = jnp.sum(squares * keep, axis=over, keepdims=True)
        norm = _tree.root(total)
        return norm, n + (norm - n) * _tree.safe_divide(total, slope)

    def narrow(
        _: Any, ends: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = _tree.root(low * high)
        norm, from_middle = newton(middle)
        _, from_low = newton(low)
        below = norm > middle
        low = jnp.where(below, middle, low)
        high = jnp.where(below, high, middle)
        low = jnp.maximum(low, jnp.maximum(from_low, from_middle))
        return jnp.minimum(low, high), high

    return jax.lax.fori_loop(0, ROUNDS, narrow, (low, high))[0]
