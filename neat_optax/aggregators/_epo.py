"""EPO: exact Pareto optimal search, towards equal weighted losses."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import Correlation, correlation
from neat_optax.aggregators._losses import read_losses, usable_losses
from neat_optax.aggregators._solvers._vertex import Vertex, best_vertex
from neat_optax.aggregators._weighting import Players, shares, stateless_weighting

EQUAL_IN_EPS = 16
"""Logarithms of shares nearer to one another than this are equal."""


class _Balance(NamedTuple):
    """How equal the weighted losses are."""

    adjustment: jax.Array  # [P] `a`
    uneven: jax.Array  # [] the divergence from equal shares
    largest: jax.Array  # [P] bool: whose weighted loss is the largest


def epo_weights(
    gramian: Float[Array, "P P"],
    losses: Float[Array, " P"],
    preference: Any = None,
    tolerance: Any = 1e-4,
    relax: bool = False,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of EPO, from its linear program.

    Args:
      gramian: [P, P] `G`, inner products of the gradients. Players without a gradient
        get the weight 0.
      losses: [P] `L`, nonnegative.
      preference: [P] nonnegative `r`; `1 / P` each by default.
      tolerance: nonnegative; see `epo`.
      relax: see `epo`.
      present: [P] bool.

    Returns:
      [P] weights of the gradients, nonnegative with the sum 1.

    Example:
      >>> import jax.numpy as jnp
      >>> epo_weights(jnp.eye(2), jnp.array([1.0, 3.0])).tolist()
      [0.0, 1.0]
    """
    losses, usable = usable_losses(losses, present)
    rows = correlation(gramian)
    rows = rows._replace(active=rows.active & usable)
    chosen = shares(usable, preference)
    state = _balance(losses, chosen, rows.active)
    uneven = state.uneven > tolerance
    found = _solve(rows, state, uneven, relax)
    if not relax:
        eased = lambda: _solve(rows, state, uneven, True)  # noqa: E731
        found = jax.lax.cond(found.feasible, lambda: found, eased)
    weights = found.point * _lengths(rows)
    return _tree.safe_divide(weights, jnp.sum(weights))


@cites("mahapatra2020multi")
def epo(
    tolerance: float = 1e-4,
    relax: bool = False,
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""EPO: looks for the Pareto optimum at which all weighted losses are equal.

    .. math:: u = \sum_i w_i\, g_i, \qquad \sum_i w_i = 1,\ w \ge 0

    With :math:`\hat l_i = r_i L_i / \sum_j r_j L_j`, the divergence
    :math:`\mu = \sum_i \hat l_i \log(P \hat l_i)` and the adjustment
    :math:`a_i = r_i (\log(P \hat l_i) - \mu)`, whose direction :math:`\sum_i a_i g_i`
    makes the weighted losses more equal:

    - to balance, where :math:`\mu` is above the tolerance: `w` maximizes
      :math:`w^\top G a` subject to :math:`(G w)_i \ge 0` for the players with the
      largest :math:`r_i L_i`, and to :math:`(G w)_i \ge (G a)_i` for the others with
      :math:`(G a)_i \le 0`; and to `G w >= 0` where no :math:`(G a)_i` is positive.
      Then other losses may rise, but for the largest.
    - to descend, elsewhere: `w` maximizes :math:`\mathbf{1}^\top G w` subject to
      `G w >= 0` and :math:`w^\top G a \ge \min(0, \max_i (G a)_i)`, or to the first
      alone where there is no such `w`.

    So a larger `r_i` makes loss `i` smaller: at the solution losses are as `1 / r`.
    Non-conflicting while it descends. Needs the extra argument `losses=`; a player
    whose loss is not finite is left out. Losses must not be negative, and one that is
    not above 0 counts as a share of rounding. A player without a gradient gets the
    weight 0.

    Args:
      tolerance: nonnegative; up to which :math:`\mu` weighted losses count as equal.
      relax: whether the last constraint is left out.
      preference: `r`, nonnegative, taken as it is; `1 / P` each by default. Overridden
        by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.epo()
      >>> g, losses = jnp.eye(2), jnp.array([1.0, 3.0])
      >>> tx.update(g, tx.init(g[0]), losses=losses)[0].tolist()
      [0.0, 1.0]

    References:
      Mahapatra and Rajan, "Multi-Task Learning with User Preferences: Gradient Descent
      with Controlled Ascent in Pareto Optimization", 2020, the linear programs of
      section 4, and not the quadratic ones of their later paper. Their code multiplies
      the step of its toy problems by :math:`\max(\mu, 0.1)`, and the weights of its
      networks by `P`; here, as in the paper, they sum to 1.
    """
    _checks.check_number("tolerance", tolerance, "[0, inf)")
    _checks.check_bool("relax", relax)
    _checks.check_preference("preference", preference)

    def decide(players: Players):
        losses, usable = read_losses(players)
        chosen = preference if players.preference is None else players.preference
        return epo_weights(players.gramian, losses, chosen, tolerance, relax, usable)

    weighting = stateless_weighting(decide, "epo", needs_losses=True)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _balance(
    losses: Float[Array, " P"], preference: Float[Array, " P"], counted: jax.Array
) -> _Balance:
    losses = jnp.where(counted, jnp.maximum(losses, 0), 0)
    losses = _tree.safe_divide(losses, jnp.max(losses))
    weighted = preference * losses
    parts = _tree.safe_divide(weighted, jnp.sum(weighted))
    smallest = jnp.finfo(parts.dtype).eps
    logs = jnp.log(jnp.maximum(parts, smallest) * jnp.sum(counted))
    logs = jnp.where(counted, logs, 0)
    uneven = jnp.sum(jnp.where(parts > smallest, parts * logs, 0))
    largest = counted & (weighted == jnp.max(weighted))
    rises = logs - uneven
    rises = jnp.where(counted & (jnp.abs(rises) > EQUAL_IN_EPS * smallest), rises, 0)
    return _Balance(preference * rises, uneven, largest)


def _lengths(rows: Correlation) -> Float[Array, " P"]:
    """`n_min / n_i`, from weights of unit rows to weights of gradients."""
    shortest = jnp.min(jnp.where(rows.active, rows.norms, jnp.inf))
    shortest = jnp.where(shortest < jnp.inf, shortest, 1)
    return jnp.where(rows.active, shortest * rows.per_norm, 0)


def _solve(
    rows: Correlation, state: _Balance, uneven: jax.Array, relax: bool
) -> Vertex:
    """The program in `y_i = w_i n_i / n_min`, so that its matrix has entries near 1."""
    # (G w)_i = n_i n_min (C y)_i and (G a)_i = n_i n_min (C b)_i with b_i = a_i n_i /
    # n_min, so the common factors drop out of each row.
    active, lengths = rows.active, _lengths(rows)
    longer = _tree.safe_divide(1.0, lengths)
    matrix = jnp.where(active[:, None] & active[None, :], rows.matrix, 0)
    pulls, sums = _times(matrix, jnp.stack([state.adjustment * longer, longer]).T).T
    gains = jnp.where(uneven, pulls, sums)
    gains = jnp.where(active, gains, -jnp.max(jnp.abs(gains)))
    may_fall = uneven & jnp.any(pulls > 0) & ~state.largest
    rises = -jnp.where((active & ~(may_fall & (pulls > 0)))[:, None], matrix, 0)
    bounds = jnp.where(may_fall, jnp.maximum(-pulls, 0), 0)
    least = jnp.max(jnp.where(active, pulls * longer, -jnp.inf))
    held = jnp.where(uneven | relax, 0, -pulls)
    unit = _tree.safe_divide(1.0, jnp.max(jnp.abs(held)))
    return best_vertex(
        gains,
        jnp.concatenate([rises, unit * held[None]]),
        jnp.append(bounds, jnp.where(uneven, 0, unit * jnp.maximum(-least, 0))),
        lengths,
    )


def _times(matrix: Float[Array, "P P"], columns: Float[Array, "P K"]):
    return jnp.matmul(matrix, columns, precision="highest")
