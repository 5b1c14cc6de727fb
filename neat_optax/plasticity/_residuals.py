"""Bounds on how far a transformation may move a gradient."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, per_leaf
from neat_optax._schedules import value_at
from neat_optax.plasticity._residual_shell import (
    add_residual,
    inner_products,
    squares,
)


@cites("neuroplastic2026")
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
    _checks.check_number("ratio", ratio, "[0, inf)")
    _checks.check_kind("scope", scope, Scope)
    _checks.check_bool("monitor", monitor)

    def part(owners: Sequence[int], g: list[jax.Array], d: list[jax.Array], step: Any):
        del step
        return squares(owners, g), d, squares(owners, d), [1.0] * len(g)

    return add_residual(inner, optax.identity(), part, ratio, scope, monitor)


@cites("neuroplastic2026")
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
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_number("ratio", ratio, "[0, inf)")
    _checks.check_bool("match_norm", match_norm)
    _checks.check_kind("scope", scope, Scope)
    _checks.check_bool("monitor", monitor)

    def part(owners: Sequence[int], g: list[jax.Array], s: list[jax.Array], step: Any):
        gg, o = _across(owners, g, s)
        oo = squares(owners, o)
        return gg, o, oo, _wanted(gg, oo, value_at(strength, step), match_norm)

    return add_residual(
        inner, reference or optax.identity(), part, ratio, scope, monitor
    )


def _across(
    owners: Sequence[int], gradients: Sequence[jax.Array], signals: Sequence[jax.Array]
) -> tuple[list[jax.Array], list[jax.Array]]:
    """The squared norms of gradients, and the parts of signals orthogonal to them."""
    gg = squares(owners, gradients)
    sg = inner_products(owners, signals, gradients)
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
    ratios = [_tree.safe_divide(_tree.root(a), _tree.root(b)) for a, b in pairs]
    return [strength * ratio for ratio in ratios]
