"""PiKE: weights that grow with the gradients and shrink with their noise."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import masked_softmax
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, everyone

LARGEST = 1e30
"""Bound on exponents, so that their sums stay finite."""


def pike_weights(
    weights: Float[Array, " P"],
    squared_norms: Float[Array, " P"],
    variances: Float[Array, " P"],
    zeta1: Any,
    zeta2: Any,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""The next weights of PiKE.

    .. math:: w_i \propto w_i \exp\Bigl(\zeta_1 |\nabla L_i|^2
        - \frac{\zeta_2}{2 b} \sigma_i^2\Bigr)

    Args:
      weights: [P] `w` before, nonnegative.
      squared_norms: [P] :math:`|\nabla L_i|^2`.
      variances: [P] :math:`\sigma_i^2 / b`, of the gradient of one example over the
        number of examples of all players.
      zeta1, zeta2: nonnegative.
      present: [P] bool; absent players get the weight 0.

    Returns:
      [P] weights that sum to 1.

    Example:
      >>> import jax.numpy as jnp
      >>> before, squares = jnp.array([0.5, 0.5]), jnp.array([jnp.log(3.0), 0.0])
      >>> found = pike_weights(before, squares, jnp.zeros(2), 1.0, 1.0)
      >>> [round(x, 4) for x in found.tolist()]
      [0.75, 0.25]
    """
    present = everyone(weights, present) & (weights > 0)
    logits = jnp.log(jnp.where(present, weights, 1))
    logits = logits + _exponents(squared_norms, variances, zeta1, zeta2)
    return masked_softmax(logits, present)


@cites("li2025pike")
def pike(
    zeta1: optax.ScalarOrSchedule,
    zeta2: optax.ScalarOrSchedule,
    every: int = 1,
    *,
    num_players: int,
    preference: Any = None,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""PiKE: adaptive mixing of players that hardly conflict.

    .. math:: u = \sum_i w_i\, g_i, \qquad w_i \propto w_i \exp\Bigl(\zeta_1
        |\nabla L_i|^2 - \frac{\zeta_2}{2 b} \sigma_i^2\Bigr)

    with :math:`\sigma_i^2` the variance of the gradient of one example of player `i`
    and `b` the examples of all players in a step. In the paper these are shares of a
    batch to be sampled; here they weigh gradients, each the mean over as many examples.
    Both give the same update on average. The weights sum to 1, and one that is small
    stays so for long. May conflict with players.

    Estimated from the gradients `h` of an independent batch of the same size, the extra
    argument `second_batch=`, without bias: :math:`|\nabla L_i|^2` by
    :math:`g_i \cdot h_i` and :math:`\sigma_i^2 / b` by
    :math:`(|g_i|^2 - g_i \cdot h_i) / P`. Without it the variance counts as 0, and the
    squared norm is that of the noisy gradient, which favors noise. Errors of single
    steps add up to little, since exponents are added.

    Args:
      zeta1: nonnegative :math:`\zeta_1`, or a schedule, for gradients in their unit.
      zeta2: nonnegative :math:`\zeta_2`, or a schedule.
      every: steps from one change of the weights to the next, at least 1. It comes
        before the weights are used.
      num_players: `P`.
      preference: positive weights to start from; equal by default.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.pike(1.0, 1.0, num_players=2)
      >>> g, other = jnp.eye(2), jnp.array([[1.0, 0.0], [0.0, 0.0]])
      >>> update, _ = tx.update(g, tx.init(g[0]), second_batch=other)
      >>> [round(x, 4) for x in update.tolist()]
      [0.7773, 0.2227]

    References:
      Li, Deng, Zhong, Razaviyayn and Mirrokni, "PiKE: Adaptive Data Mixing for
      Large-Scale Multi-Task Learning Under Low Gradient Conflicts", 2025, Algorithm 1.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("zeta1", zeta1, "[0, inf)")
    _checks.check_number("zeta2", zeta2, "[0, inf)")
    _checks.check_count("every", every, minimum=1)
    _checks.check_preference("preference", preference)

    def init(_: Any) -> Float[Array, " P"]:
        if preference is None:
            return jnp.zeros((num_players,), jnp.float32)
        logits = jnp.log(jnp.asarray(preference, jnp.float32))
        return jnp.maximum(logits, -LARGEST)

    def decide(players: Players, state: Float[Array, " P"]):
        numbers = (value_at(x, players.step) for x in (zeta1, zeta2))
        moved = state + _exponents(*_estimates(players), *numbers)
        due = (players.step % every == 0) & players.present
        moved = jnp.where(due, moved, state)
        highest = jnp.max(moved, where=players.present, initial=-jnp.inf)
        kept = jnp.where(jnp.any(players.present), moved - highest, state)
        kept = jnp.clip(kept, -LARGEST, LARGEST)
        return as_decision(masked_softmax(kept, players.present)), kept

    weighting = Weighting("pike", init, decide)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _exponents(
    squared_norms: Float[Array, " P"],
    variances: Float[Array, " P"],
    zeta1: Any,
    zeta2: Any,
) -> Float[Array, " P"]:
    found = zeta1 * squared_norms - zeta2 / 2 * variances
    return jnp.clip(found, -LARGEST, LARGEST)


def _estimates(players: Players) -> tuple[jax.Array, jax.Array]:
    """Squared norms and variances, in the unit of the gradients."""
    products = jnp.diagonal(players.cross)
    noise = jnp.diagonal(players.gramian) - products
    count = jnp.maximum(jnp.sum(players.present), 1)

    def bounded(x: jax.Array) -> jax.Array:
        return jnp.clip(x * players.scale * players.scale, -LARGEST, LARGEST)

    return bounded(products), bounded(noise / count)
