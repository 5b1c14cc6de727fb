"""PMGDA: MGDA that first goes to, and then stays at, the direction of a preference."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import Correlation, correlation
from neat_optax.aggregators._directions import away_from
from neat_optax.aggregators._entries import check_entries, spread
from neat_optax.aggregators._losses import Losses, read_losses, usable_losses
from neat_optax.aggregators._solvers._simplex import min_norm
from neat_optax.aggregators._solvers._vertex import best_vertex
from neat_optax.aggregators._weighting import Players, shares, stateless_weighting

ROUNDING_IN_EPS = 4
"""The square of a combination below this share of its terms' squares is zero."""


def pmgda_weights(
    gramian: Float[Array, "P P"],
    losses: Float[Array, " P"],
    preference: Any = None,
    tolerance: Any = 0.01,
    sigma: Any = 0.95,
    ideal: Any = 0.0,
    tangent: bool = True,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of PMGDA.

    Args:
      gramian: [P, P] inner products of the gradients. Players without a gradient get
        the weight 0 in correction steps.
      losses: [P] `L`.
      preference: [P] nonnegative `p`, the direction; `1 / P` each by default.
      tolerance: nonnegative; see `pmgda`.
      sigma: in [0, 1]; see `pmgda`.
      ideal: `z`, a number or [P].
      tangent: see `pmgda`.
      present: [P] bool.

    Returns:
      [P] weights of the gradients, of either sign.

    Example:
      >>> import jax.numpy as jnp
      >>> weights = pmgda_weights(jnp.eye(2), jnp.array([1.0, 3.0]), sigma=0.5)
      >>> [round(x, 4) for x in weights.tolist()]
      [0.1464, 0.8536]
    """
    seen = usable_losses(losses, present)
    return _decide(gramian, seen, preference, (tolerance, sigma, ideal), tangent)


@cites("zhang2024pmgda")
def pmgda(
    tolerance: optax.ScalarOrSchedule = 0.01,
    sigma: optax.ScalarOrSchedule = 0.95,
    ideal: Any = 0.0,
    *,
    tangent: bool = True,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""PMGDA: corrects the losses to the direction of the preference, then descends.

    With the distance `h` of `L - z` from the line along the preference `p`, its
    gradient :math:`\nabla h = \sum_i (\partial h / \partial L_i)\, g_i`, and a hat for
    a vector divided by its length:

    - to correct, where `h` is above the tolerance: of all `u` in the convex hull of
      :math:`\hat g_1, \dots, \hat g_P, \hat\nabla h`, the one with the largest
      :math:`\min_i g_i \cdot u`, subject to :math:`\hat\nabla h \cdot u \ge \sigma`.
    - to predict, elsewhere: the shortest :math:`u = \sum_i w_i\, g_i + \nu\, \nabla h`
      with `w` in the simplex and any :math:`\nu`. It is orthogonal to
      :math:`\nabla h`, and raises no loss.

    Draws the losses above the ideal to multiples of `p`: a larger `p_i` leaves loss `i`
    larger. It reaches concave parts of a Pareto front. A correction has a length of at
    most 1 and may raise losses. Needs the extra argument `losses=`; a player whose loss
    is not finite is left out.

    Args:
      tolerance: nonnegative, in the unit of the losses, or a schedule.
      sigma: in [0, 1], or a schedule: the least cosine of a correction with the
        constraint's gradient, if it had the length 1.
      ideal: `z`, losses below any that can be reached: a number or [P].
      tangent: whether predictions are orthogonal to the constraint's gradient, as in
        the paper; False for MGDA, as in the authors' code.
      preference: `p`, the direction, nonnegative; its length does not count. Equal
        entries by default. Overridden by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.pmgda(sigma=0.5)
      >>> g, losses = jnp.eye(2), jnp.array([1.0, 3.0])
      >>> update, _ = tx.update(g, tx.init(g[0]), losses=losses)
      >>> [round(x, 4) for x in update.tolist()]
      [0.1464, 0.8536]

    References:
      Zhang, Lin and Zhang, "PMGDA: A Preference-based Multiple Gradient Descent
      Algorithm", 2024, for exact solutions: the prediction in its dual form, and the
      linear program of the correction. The authors' code adds 1e-4 to lengths; here
      nothing is added, and a player without a gradient is no part of a correction.
    """
    _checks.check_number("tolerance", tolerance, "[0, inf)")
    _checks.check_number("sigma", sigma, "[0, 1]")
    _checks.check_preference("preference", preference)
    _checks.check_bool("tangent", tangent)
    check_entries("ideal", ideal, "(-inf, inf)")

    def decide(players: Players):
        chosen = preference if players.preference is None else players.preference
        numbers = (
            value_at(tolerance, players.step),
            value_at(sigma, players.step),
            ideal,
        )
        seen = read_losses(players)
        return _decide(players.gramian, seen, chosen, numbers, tangent, players.scale)

    weighting = stateless_weighting(decide, "pmgda", needs_losses=True)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(
    gramian: Float[Array, "P P"],
    losses: Losses,
    preference: Any,
    numbers: tuple[Any, Any, Any],
    tangent: bool,
    scale: Any = 1.0,
) -> Float[Array, " P"]:
    """The weights, of a Gramian of gradients divided by a scale."""
    values, usable = losses
    tolerance, sigma, ideal = numbers
    gaps = jnp.where(usable, values - spread("ideal", ideal, len(values)), 0)
    away = away_from(gaps, shares(usable, preference))
    rows = correlation(gramian)
    rows = rows._replace(active=rows.active & usable)
    toward = _unit_constraint(rows, away.slope)
    predicted = _predict(rows, toward if tangent else 0 * toward, usable)
    corrected = _correct(rows, toward, sigma) / scale
    corrects = (away.distance > tolerance) & jnp.any(toward != 0)
    return jnp.where(corrects, corrected, predicted)


def _unit_constraint(rows: Correlation, slope: Float[Array, " P"]) -> jnp.ndarray:
    """The constraint's gradient, of length 1 or 0, as weights of unit rows."""
    parts = jnp.where(rows.active, slope * rows.norms, 0)
    parts = _tree.safe_divide(parts, jnp.max(jnp.abs(parts)))
    squared = parts @ _times(rows.matrix, parts)
    noise = ROUNDING_IN_EPS * len(parts) * jnp.finfo(parts.dtype).eps
    squared = jnp.where(squared > noise * jnp.sum(parts**2), squared, 0)
    return _tree.safe_divide(parts, _tree.root(squared))


def _predict(rows: Correlation, toward: Float[Array, " P"], usable: jnp.ndarray):
    """The shortest convex combination of the gradients' parts across the constraint."""
    along = rows.norms * _times(rows.matrix, toward)
    gramian = rows.matrix * rows.norms[:, None] * rows.norms[None, :]
    across = gramian - along[:, None] * along[None, :]
    nearest = min_norm(correlation(across), usable)
    return nearest.weights - (nearest.weights @ along) * toward * rows.per_norm


def _correct(rows: Correlation, toward: Float[Array, " P"], sigma: Any):
    """The linear program in the weights of unit rows, and the least gain."""
    # The gain is a difference of two nonnegative numbers, in units of the shortest row,
    # and the bound on the cosine is homogeneous because the weights sum to 1.
    active = rows.active
    shortest = jnp.min(jnp.where(active, rows.norms, jnp.inf))
    shorter = jnp.where(active, jnp.where(active, shortest, 0) * rows.per_norm, 0)
    cosines = jnp.where(active, _times(rows.matrix, toward), 0)
    both = active[:, None] & active[None, :]
    matrix = jnp.where(both, rows.matrix, 0)
    least = -jnp.concatenate(
        [matrix, cosines[:, None], -shorter[:, None], shorter[:, None]], axis=1
    )
    bound = jnp.concatenate([sigma - cosines, jnp.array([sigma - 1, 0, 0])])
    bound = jnp.where(jnp.append(active, jnp.ones(3, bool)), bound, 0)
    counted = jnp.append(active, True)
    count = len(cosines)
    gains = jnp.concatenate([jnp.where(active, 0, -1), jnp.array([0, 1, -1])])
    total = jnp.append(counted, jnp.zeros(2, bool))
    found = best_vertex(
        gains.astype(matrix.dtype),
        jnp.concatenate([least, bound[None]]),
        jnp.zeros(count + 1, matrix.dtype),
        total.astype(matrix.dtype),
    ).point
    return (found[:count] + found[count] * toward) * rows.per_norm


def _times(matrix: Float[Array, "P P"], vector: Float[Array, " P"]):
    return jnp.matmul(matrix, vector, precision="highest")
