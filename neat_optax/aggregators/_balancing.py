"""Weights that make the terms of a loss equally large: in gradients, or in kernels."""

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
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, everyone

REDUCTIONS = ("sum", "mean")


def balancing_weights(
    sizes: Float[Array, " P"],
    reduction: str = "sum",
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights that make all sizes equal, before they are averaged.

    .. math:: \hat w_i = \frac{\sum_j s_j}{s_i}

    Args:
      sizes: [P] nonnegative `s`: norms of gradients in `grad_norm_balancing`, traces of
        kernels in `ntk`.
      reduction: "sum", or "mean", `P` times smaller.
      present: [P] bool; absent players have no size.

    Returns:
      [P] weights of the gradients; 0 where a size is 0 or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> balancing_weights(jnp.array([1.0, 3.0, 4.0])).tolist()
      [8.0, 2.6666667461395264, 2.0]
    """
    present = everyone(sizes, present)
    sizes = jnp.where(present & jnp.isfinite(sizes), sizes, 0)
    longest = jnp.max(sizes)
    ratios = _tree.safe_divide(longest, sizes)
    shares = jnp.sum(_tree.safe_divide(sizes, longest))
    if reduction == "mean":
        shares = shares / jnp.maximum(jnp.sum(present), 1)
    return ratios * shares


@cites("wang2023experts", "wang2021understanding")
def grad_norm_balancing(
    decay: optax.ScalarOrSchedule = 0.9,
    every: int = 1000,
    *,
    reduction: str = "sum",
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Balances the norms of the gradients: the loss weights of physics-informed nets.

    .. math:: u = \sum_i w_i\, g_i, \qquad
        w_i \leftarrow \alpha\, w_i + (1 - \alpha)\, \frac{\sum_j |g_j|}{|g_i|}

    The weights are 1 at first and move in each step whose number is a multiple of
    `every`, before they are used in it. May conflict with players. Only norms are
    measured. A player that is absent, or whose gradient is zero, keeps its weight.

    Args:
      decay: :math:`\alpha` in [0, 1), or a schedule.
      every: steps from one change of the weights to the next, at least 1.
      reduction: "sum", or "mean" for :math:`\frac1P \sum_j |g_j|`.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.grad_norm_balancing(0.5, num_players=2)
      >>> g = jnp.array([[1.0, 0.0], [0.0, 3.0]])
      >>> update, _ = tx.update(g, tx.init(g[0]))
      >>> [round(x, 4) for x in update.tolist()]
      [2.5, 3.5]

    References:
      Wang, Sankaran, Wang and Perdikaris, "An Expert's Guide to Training
      Physics-informed Neural Networks", 2023, Algorithm 1; before it, in another form,
      Wang, Teng and Perdikaris, "Understanding and Mitigating Gradient Flow Pathologies
      in Physics-Informed Neural Networks", 2021. The authors' code, jaxpi, takes the
      mean in place of the sum, and moves the weights after the step.
    """
    return _balanced(
        "grad_norm_balancing",
        lambda players: _tree.root(jnp.maximum(jnp.diagonal(players.gramian), 0)),
        (decay, every, reduction),
        num_players,
        scope,
        monitor,
        needs_norms=True,
    )


@cites("wang2022when", "wang2023experts")
def ntk(
    decay: optax.ScalarOrSchedule = 0.9,
    every: int = 1000,
    *,
    reduction: str = "sum",
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Balances the traces of the neural tangent kernels of the terms of a loss.

    .. math:: u = \sum_i w_i\, g_i, \qquad
        w_i \leftarrow \alpha\, w_i + (1 - \alpha)\, \frac{\sum_j t_j}{t_i}, \qquad
        t_i = \operatorname{tr} K_i = \sum_b |\nabla_p r_i(x_b)|^2

    with `r_i` the residual whose square is term `i`. Needs the extra argument
    `traces=`, `t` [P], in every update, of which those of the steps that move the
    weights are used; `players.ntk_traces` computes them from the residuals. The weights
    are 1 at first. Ignores the gradients, and may conflict with any of them. A player
    that is absent, or whose trace is zero or not finite, keeps its weight.

    Args:
      decay: :math:`\alpha` in [0, 1), or a schedule.
      every: steps from one change of the weights to the next, at least 1.
      reduction: "sum", or "mean" for :math:`\frac1P \sum_j t_j`.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.ntk(0.5, num_players=2)
      >>> g = jnp.eye(2)
      >>> update, _ = tx.update(g, tx.init(g[0]), traces=jnp.array([1.0, 3.0]))
      >>> [round(x, 4) for x in update.tolist()]
      [2.5, 1.1667]

    References:
      Wang, Yu and Perdikaris, "When and Why PINNs Fail to Train: A Neural Tangent
      Kernel Perspective", 2022, Algorithm 1, without the average; with it, Wang,
      Sankaran, Wang and Perdikaris, "An Expert's Guide to Training
      Physics-informed Neural Networks", 2023. The authors' code, jaxpi, takes means of
      the kernels' diagonals in place of traces, and the mean in place of the sum:
      `ntk_traces(mean=True)` with `reduction="mean"`.
    """
    return _balanced(
        "ntk",
        lambda players: _traces(players),
        (decay, every, reduction),
        num_players,
        scope,
        monitor,
    )


def _balanced(
    name: str,
    measure: Any,
    numbers: tuple[Any, int, str],
    num_players: int,
    scope: Scope,
    monitor: bool,
    needs_norms: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Averages of the weights that balance what is measured."""
    decay, every, reduction = numbers
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("decay", decay, "[0, 1)")
    _checks.check_count("every", every, minimum=1)
    _checks.check_choice("reduction", reduction, REDUCTIONS)

    def decide(players: Players, state: Float[Array, " P"]):
        newest = balancing_weights(measure(players), reduction, players.present)
        share = value_at(decay, players.step)
        moved = (players.step % every == 0) & (newest > 0)
        weights = jnp.where(moved, share * state + (1 - share) * newest, state)
        return as_decision(jnp.where(players.present, weights, 0)), weights

    weighting = Weighting(
        name,
        lambda _: jnp.ones((num_players,), jnp.float32),
        decide,
        needs_gramian=False,
        needs_norms=needs_norms,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _traces(players: Players) -> Float[Array, " P"]:
    if players.traces is None:
        raise ValueError(
            "`traces` must be passed to update for ntk, got None: call "
            "tx.update(updates, state, params, traces=ntk_traces(...)(params, ...))."
        )
    return _tree.widen(players.traces)
