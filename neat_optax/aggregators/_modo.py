"""MoDo and SDMGrad: MGDA with double sampling, from two independent batches."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._solvers._simplex import descend_simplex, project_simplex
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, shares


def modo_weights(
    cross: Float[Array, "P P"],
    weights: Float[Array, " P"],
    step_size: Any = 0.1,
    decay: Any = 0.1,
    present: Bool[Array, " P"] | None = None,
    scale: Any = 1.0,
) -> Float[Array, " P"]:
    r"""The next weights of MoDo.

    .. math:: \lambda \leftarrow \Pi_\Delta\bigl(\lambda - \gamma (A \lambda
        + \rho \lambda)\bigr), \qquad A = J_1 J_2^\top

    Args:
      cross: `A` [P, P], inner products of the gradients of two batches.
      weights: [P] the weights before, on the simplex.
      step_size: :math:`\gamma` above 0.
      decay: :math:`\rho`, at least 0.
      present: [P] bool; absent players get the weight 0.
      scale: what the gradients were divided by before the products were taken.

    Returns:
      [P] weights on the simplex.

    Example:
      >>> import jax.numpy as jnp
      >>> w = modo_weights(jnp.diag(jnp.array([1.0, 3.0])), jnp.array([0.5, 0.5]))
      >>> [round(x, 4) for x in w.tolist()]
      [0.55, 0.45]
    """
    present = jnp.ones(len(weights), bool) if present is None else present
    return descend_simplex(cross, weights, step_size, decay, present, scale)


def sdmgrad_weights(
    cross: Float[Array, "P P"],
    weights: Float[Array, " P"],
    preference: Float[Array, " P"],
    step_size: Any = 10.0,
    momentum: Any = 0.5,
    num_steps: int = 20,
    pull: Any = 0.3,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""The weights of SDMGrad.

    .. math:: w \leftarrow \Pi_\Delta\bigl(w - \eta\, v\bigr), \quad
        v \leftarrow \mu v + \frac{A}{\bar n^2} (w + \lambda p)

    repeated; then the update's weights are :math:`(w + \lambda p) / (1 + \lambda)`.

    Args:
      cross: `A` [P, P], inner products of the gradients of two batches.
      weights: [P] the weights `w` before, on the simplex.
      preference: [P] `p` with the sum 1.
      step_size, momentum, num_steps, pull: see `sdmgrad`.
      present: [P] bool; absent players get the weight 0.

    Returns:
      [P] weights of the gradients.
    """
    new = sdmgrad_step(
        cross, weights, preference, step_size, momentum, num_steps, pull, present
    )
    return (new + pull * preference) / (1 + pull)


def sdmgrad_step(
    cross: Float[Array, "P P"],
    weights: Float[Array, " P"],
    preference: Float[Array, " P"],
    step_size: Any = 10.0,
    momentum: Any = 0.5,
    num_steps: int = 20,
    pull: Any = 0.3,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    """The inner weights `w` of `sdmgrad_weights` after its steps, to go on from."""
    present = jnp.ones(len(weights), bool) if present is None else present
    lengths = _tree.root(jnp.maximum(jnp.diagonal(cross), 0))
    mean = jnp.sum(lengths) / jnp.maximum(jnp.sum(present), 1)
    cross = _tree.safe_divide(cross, mean**2)

    def body(_: jax.Array, carry: tuple[jax.Array, jax.Array]):
        weights, velocity = carry
        slope = jnp.matmul(cross, weights + pull * preference, precision="highest")
        velocity = momentum * velocity + slope
        return project_simplex(weights - step_size * velocity, present), velocity

    weights = weights.astype(jnp.result_type(weights, cross, preference))
    start = _tree.varying_like((weights, jnp.zeros_like(weights)), cross)
    return jax.lax.fori_loop(0, num_steps, body, start)[0]


@cites("chen2023three")
def modo(
    step_size: optax.ScalarOrSchedule = 0.1,
    decay: optax.ScalarOrSchedule = 0.1,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""MoDo: projected descent on the combined gradient's norm by double sampling.

    .. math:: u = \sum_i \lambda_i g_i, \qquad \lambda \leftarrow
        \Pi_\Delta\bigl(\lambda - \gamma (J_1 J_2^\top \lambda + \rho \lambda)
        \bigr)

    Unbiased where `J_2`, the extra argument `second_batch=`, comes from an independent
    batch; without it the Gramian is used. The weights start equal. The step depends on
    the gradients' scale: with long gradients choose a small :math:`\gamma`.

    Args:
      step_size: :math:`\gamma` above 0, or a schedule.
      decay: :math:`\rho` at least 0, or a schedule.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.modo(num_players=2)
      >>> g = jnp.array([[1.0, 0.0], [0.0, 2.0]])
      >>> update, _ = tx.update(g, tx.init(g[0]), second_batch=g)
      >>> [round(x, 4) for x in update.tolist()]
      [0.575, 0.85]

    References:
      Chen et al., "Three-Way Trade-Off in Multi-Objective Learning", 2023, eq. 6.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("step_size", step_size, "(0, inf)")
    _checks.check_number("decay", decay, "[0, inf)")

    def decide(players: Players, state: Float[Array, " P"]):
        weights = modo_weights(
            players.cross,
            state,
            value_at(step_size, players.step),
            value_at(decay, players.step),
            players.present,
            players.scale,
        )
        return as_decision(weights), weights

    weighting = Weighting("modo", lambda _: _equal(num_players), decide)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


@cites("xiao2023direction")
def sdmgrad(
    step_size: float = 10.0,
    momentum: float = 0.5,
    num_steps: int = 20,
    pull: float = 0.3,
    *,
    num_players: int,
    preference: Any = None,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""SDMGrad: direction-oriented MGDA, regularized towards a preference.

    .. math:: u = \frac{1}{1 + \lambda} \sum_i (w_i + \lambda p_i)\, g_i

    with `w` from `sdmgrad_weights`: some steps of projected descent on the length of
    the update, from where the last step ended. Unbiased where the extra argument
    `second_batch=` comes from an independent batch; without it the Gramian is used.

    Args:
      step_size: :math:`\eta` above 0, for gradients of mean length 1.
      momentum: :math:`\mu` in [0, 1).
      num_steps: inner steps, at least 1.
      pull: :math:`\lambda` at least 0.
      num_players: `P`.
      preference: `p`, nonnegative, scaled to the sum 1; equal by default. Overridden by
        the extra argument `preference=`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.sdmgrad(num_players=2)
      >>> g = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> print(tx.update(g, tx.init(g[0]))[0].round(3))
      [0.5 0.5]

    References:
      Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning", 2023,
      Algorithm 1.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_preference("preference", preference)
    _checks.check_number("step_size", step_size, "(0, inf)")
    _checks.check_number("momentum", momentum, "[0, 1)")
    _checks.check_count("num_steps", num_steps, minimum=1)
    _checks.check_number("pull", pull, "[0, inf)")

    def decide(players: Players, state: Float[Array, " P"]):
        counts = players.shares(preference)
        wanted = _tree.safe_divide(counts, jnp.sum(counts))
        rest = (step_size, momentum, num_steps, pull, players.present)
        state = sdmgrad_step(players.cross, state, wanted, *rest)
        return as_decision((state + pull * wanted) / (1 + pull)), state

    weighting = Weighting("sdmgrad", lambda _: _equal(num_players), decide)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _equal(num_players: int):
    return shares(jnp.ones((num_players,), bool)).astype(jnp.float32)
