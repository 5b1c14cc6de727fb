"""NEAT between players, from the Gramian alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _checks
from neat_optax.aggregators._neat import Reduction, neat_weighting
from neat_optax.aggregators._weighting import Players, everyone
from neat_optax.player_neat import player_neat_correction
from neat_optax.player_opponents import PlayerOpponent, others_mean
from neat_optax.rules import neat_rules

neat = player_neat_correction


def neat_weights(
    gramian: jax.Array,
    alpha: Any = 0.25,
    *,
    opponent: PlayerOpponent | None = None,
    clip_ratio: Any = 1.0,
    preference: Any = None,
    present: jax.Array | None = None,
) -> jax.Array:
    r"""Weights of NEAT between players.

    .. math:: w_j = r_j (1 + a_j) + p_j \sum_i \frac{r_i b_i}{s_i}
        - p_j \frac{r_j b_j}{s_j}, \qquad s_i = \sum_{j \ne i} p_j

    for the mean of the others, with coefficients :math:`a, b` as in `contest`. A
    Gramian in float32 loses opponents that nearly cancel, below about 3e-4 of the
    gradients' length; `player_neat_correction` does not.

    Args:
      gramian: [P, P], inner products of the gradients.
      alpha: strength of the correction, at least 0.
      opponent: `others_mean()` (the default), `batch_mean()` or `pairwise()`.
      clip_ratio: bound on each correction as a share of the gradient's norm.
      preference: [P] nonnegative `p`; 1 each by default, and `r` is `p` with the sum 1.
      present: [P] bool; absent players have zero rows, and the weight 0.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> g = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
      >>> print((neat_weights(g @ g.T, 1.0) @ g).round(4))
      [0.1768 0.6768]
    """
    rules = neat_rules(alpha, clip_ratio=clip_ratio)
    _checks.check_preference("preference", preference)
    reduction = Reduction(preference, add=False)
    chosen = others_mean() if opponent is None else opponent
    weighting = neat_weighting(rules, chosen, reduction)
    present = everyone(gramian, present)
    step = jnp.zeros((), jnp.int32)
    players = Players(gramian, jnp.ones(()), present, None, None, gramian, step)
    return weighting.weights(players, weighting.init(None))[0].weights
