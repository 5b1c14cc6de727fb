"""PCD: the primary gradient under constraints of progress for the others."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._nnqp import nnqp
from neat_optax.aggregators._weighting import Decision, Players, Weighting

FEASIBLE = 1e-3
"""Shortfall of a player's gain, as a share of the longest gradient, above which the
constraints contradict one another: the solver's own rounding stays far below."""


class PCDState(NamedTuple):
    """State of the weighting of `pcd`."""

    lengths: jax.Array  # [P] root of the average of squared norms
    times: jax.Array  # [P] how often each player was present


def pcd_weights(
    gramian: Float[Array, "P P"], tau: Any = 0.02, norms: Any = None
) -> Float[Array, " P"]:
    r"""Weights of PCD.

    .. math:: \tilde d = \operatorname*{arg\,min}_d |d - \tilde g_1|^2
        \quad\text{s.t.}\quad \tilde g_j \cdot d \ge \tau |\tilde g_j|^2, \quad
        \tilde g_i = g_i / \nu_i

    Args:
      gramian: [P, P], inner products of the gradients; player 0 is the primary one.
      tau: in [0, 1], one number or one for each of the other players.
      norms: [P] usual lengths :math:`\nu`; those of the gradients by default.

    Returns:
      [P] weights of the gradients; the update is as long as the primary gradient.

    Example:
      >>> import jax.numpy as jnp
      >>> print(pcd_weights(jnp.array([[1.0, -1.0], [-1.0, 2.0]]), 0.0).round(4))
      [1.4142 0.7071]
    """
    return _decide(gramian, tau, norms).weights


@cites("varam2026not")
def pcd(
    tau: Any = 0.02,
    decay: optax.ScalarOrSchedule = 0.999,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""PCD: follows the primary gradient subject to progress of all others.

    .. math:: u = |g_1| \frac{\tilde d}{|\tilde d|}, \qquad
        \tilde d = \operatorname*{arg\,min}_d |d - \tilde g_1|^2
        \quad\text{s.t.}\quad \tilde g_j \cdot d \ge \tau |\tilde g_j|^2

    with :math:`\tilde g_i = g_i / \sqrt{\hat v_i}` and `v` the debiased average of
    the squared length. Where the others contradict one another, the update is `g_1`;
    where player 0 is absent or has no gradient, it is zero.

    Args:
      tau: in [0, 1], one number or a tuple with one for each of the other players.
      decay: of the average of squared lengths, in [0, 1), or a schedule.
      num_players: `P`; player 0 is the primary one.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.pcd(tau=0.0, num_players=2)
      >>> g = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
      >>> print(tx.update(g, tx.init(g[0]))[0].round(4))
      [0.7071 0.7071]

    References:
      "Not All Objectives Are Born Equal: Priority-Constrained Descent for Hierarchical
      Multi-Objective Optimization", 2026. The authors add 1e-8 to the average of the
      squared length; here nothing is added, so short gradients keep their share.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    for entry in tau if isinstance(tau, tuple) else (tau,):
        _checks.check_number("tau", entry, "[0, 1]")
    _checks.check_number("decay", decay, "[0, 1)")

    def init(_: Any):
        return PCDState(
            jnp.zeros((num_players,), jnp.float32),
            jnp.zeros((num_players,), jnp.int32),
        )

    def decide(players: Players, state: PCDState):
        share = value_at(decay, players.step)
        new = _tree.root(jnp.diagonal(players.gramian)) * players.scale
        old = _tree.root(share) * state.lengths
        lengths = jnp.hypot(old, _tree.root(1 - share) * new)  # squares would overflow
        lengths = jnp.where(players.present, lengths, state.lengths)
        times = _tree.add_counts(state.times, players.present)
        known = _tree.root(1 - jnp.asarray(share) ** times)
        usual = _tree.safe_divide(lengths, known) / players.scale
        return _decide(players.gramian, tau, usual), PCDState(lengths, times)

    weighting = Weighting("pcd", init, decide)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(gramian: Float[Array, "P P"], tau: Any, norms: Any) -> Decision:
    """The program in weights of unit rows; the primary player is no constraint."""
    rows = correlation(gramian)
    primary = jnp.arange(len(rows.norms)) == 0
    usual = rows.norms if norms is None else norms
    lengths = jnp.where(rows.active, _tree.safe_divide(rows.norms, usual), 0)
    tau = jnp.asarray(tau, jnp.float32)
    tau = jnp.concatenate([jnp.zeros(1), jnp.broadcast_to(tau, (len(lengths) - 1,))])
    bound = rows.active & ~primary
    both = bound[:, None] & bound[None, :]
    matrix = jnp.where(both, rows.matrix, jnp.eye(len(lengths)))
    linear = jnp.where(bound, lengths[0] * rows.matrix[0] - tau * lengths, 1.0)
    solution = nnqp(matrix, linear[None])
    gains = jnp.matmul(matrix, solution.point[0], precision="highest") + linear
    longest = jnp.maximum(jnp.max(lengths), 0)
    feasible = jnp.all(jnp.where(bound, gains >= -FEASIBLE * longest, True))
    added = jnp.where(feasible, solution.point[0], 0)
    point = jnp.where(primary, lengths[0], added)
    squared = point @ jnp.matmul(rows.matrix, point, precision="highest")
    rounding = len(point) * jnp.finfo(point.dtype).eps * jnp.sum(point) ** 2
    squared = jnp.where(squared > rounding, squared, 0)
    length = _tree.safe_divide(rows.norms[0], _tree.root(squared))
    return Decision(length * point * rows.per_norm, solution.residual[0])
