"""MoCo: MGDA steps on tracked gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._per_player import per_player
from neat_optax.aggregators._solvers._simplex import descend_simplex
from neat_optax.aggregators._tracking import track_gradient
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, everyone


def moco_weights(
    gramian: Float[Array, "P P"],
    weights: Float[Array, " P"],
    step_size: Any = 0.1,
    decay: Any = 0.0,
    present: Bool[Array, " P"] | None = None,
    scale: Any = 1.0,
) -> Float[Array, " P"]:
    r"""The next weights of MoCo: one projected step towards the shortest combination.

    .. math:: w \leftarrow \Pi_\Delta \bigl(w - \gamma\, (G w + \rho\, w)\bigr)

    Args:
      gramian: [P, P], inner products of the tracked gradients.
      weights: [P] `w` before.
      step_size: nonnegative :math:`\gamma`.
      decay: nonnegative :math:`\rho`, towards equal weights.
      present: [P] bool; absent players get the weight 0.
      scale: what the gradients were divided by before the Gramian was taken.

    Returns:
      [P] nonnegative weights that sum to 1.

    Example:
      >>> import jax.numpy as jnp
      >>> moco_weights(jnp.diag(jnp.array([1.0, 3.0])), jnp.full(2, 0.5), 0.5).tolist()
      [0.75, 0.25]
    """
    present = everyone(gramian, present)
    return descend_simplex(gramian, weights, step_size, decay, present, scale)


@cites("fernando2023mitigating")
def moco(
    rate: float = 0.5,
    rate_decay: float = 0.5,
    step_size: optax.ScalarOrSchedule = 0.1,
    decay: optax.ScalarOrSchedule = 0.0,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""MoCo: MGDA on tracked gradients, which corrects its bias under noise.

    .. math:: y_i \leftarrow y_i + \beta_t (g_i - y_i), \quad
        \beta_t = \frac{\beta}{(t + 1)^\sigma}, \qquad
        w \leftarrow \Pi_\Delta \bigl(w - \gamma\, (Y Y^\top w + \rho\, w)\bigr),
        \qquad u = \sum_i w_i\, y_i

    from `y = 0` and equal weights. May conflict with players while the weights are on
    their way. The state holds one gradient for each player. If all gradients are zero,
    `y` fades and so does the update. An absent player is left out: its `y`, its `t` and
    its weight stay until it returns.

    Args:
      rate: :math:`\beta` in [0, 1].
      rate_decay: nonnegative :math:`\sigma`.
      step_size: nonnegative :math:`\gamma`, or a schedule. It multiplies squared
        lengths of gradients.
      decay: nonnegative :math:`\rho`, or a schedule.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.moco(step_size=0.5, num_players=2)
      >>> g = jnp.diag(jnp.array([2.0, 4.0]))
      >>> print(tx.update(g, tx.init(g[0]))[0].round(4))
      [0.875 0.25 ]

    References:
      Fernando et al., "Mitigating Gradient Bias in Multi-objective Learning: A Provably
      Convergent Approach", 2023, Algorithm 1. LibMTL divides gradients by their norms,
      multiplies them by the losses, and takes a softmax of the weights in place of the
      projection; here it is as in the paper. As in LibMTL, the weights see the newest
      `y`.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    intervals = {"rate": "[0, 1]", "rate_decay": "[0, inf)"}
    _checks.check_fields({"rate": rate, "rate_decay": rate_decay}, intervals)
    _checks.check_number("step_size", step_size, "[0, inf)")
    _checks.check_number("decay", decay, "[0, inf)")

    def decide(players: Players, state: Float[Array, " P"]):
        moved = moco_weights(
            players.gramian,
            state,
            value_at(step_size, players.step),
            value_at(decay, players.step),
            players.present,
            players.scale,
        )
        return as_decision(moved), jnp.where(players.present, moved, state)

    def init(_: Any):
        return jnp.full((num_players,), 1 / num_players, jnp.float32)

    weighting = Weighting("moco", init, decide)
    return optax.chain(
        per_player(track_gradient(rate, rate_decay), num_players=num_players),
        aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor),
    )
