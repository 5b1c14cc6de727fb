"""What aggregators record about the players, for `diagnostics`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _recording, _tree
from neat_optax._recording import Recorded
from neat_optax._typing import Array, Float
from neat_optax.aggregators._correlation import Correlation, correlation
from neat_optax.aggregators._solvers._simplex import min_norm
from neat_optax.aggregators._weighting import Decision, Players


class PlayerRecord(NamedTuple):
    """What one scope's players had in common: float32, `[]`, `[P]` or `[P, P]`."""

    conflicting_pairs: jax.Array  # share of pairs with a negative inner product
    worst_cosine: jax.Array  # smallest cosine between two players
    min_norm: jax.Array  # length of the shortest convex combination
    min_norm_ratio: jax.Array  # that length over the smallest gradient's, in [0, 1]
    residual: jax.Array  # of the solver
    coherence: jax.Array  # length of the update over that of its terms, in [0, 1]
    dropped: jax.Array  # number of players left out because they are not finite
    weights: jax.Array  # [P]
    player_alignment: jax.Array  # [P] cosine of each player with the update
    cosines: jax.Array  # [P, P] of the players with each other; 0 where one is zero


def start(num_scopes: int, num_players: int) -> Recorded:
    """What is recorded before the first step: zeros."""
    zeros = jnp.zeros((num_scopes,), jnp.float32)
    rows = jnp.zeros((num_scopes, num_players), jnp.float32)
    pairs = jnp.zeros((num_scopes, num_players, num_players), jnp.float32)
    scalars = zeros, zeros, zeros, zeros, zeros, zeros, zeros
    blank = PlayerRecord(*scalars, rows, rows, pairs)
    return _recording.start(blank, zeros)


@jax.jit
def record_players(
    players: Players, decision: Decision, dropped: jax.Array
) -> PlayerRecord:
    """What is recorded of one scope."""
    rows = correlation(players.gramian)
    pairs, conflicting, worst = opposed_pairs(rows)
    nearest = min_norm(rows, players.present)
    smallest = jnp.min(jnp.where(players.present, rows.norms, jnp.inf))
    alignment, coherence = _compare(rows, decision.weights)
    values = PlayerRecord(
        conflicting_pairs=_tree.safe_divide(conflicting, pairs),
        worst_cosine=worst,
        min_norm=nearest.norm * players.scale,
        min_norm_ratio=jnp.minimum(_tree.safe_divide(nearest.norm, smallest), 1.0),
        residual=decision.residual,
        coherence=coherence,
        dropped=dropped,
        weights=decision.weights,
        player_alignment=alignment,
        cosines=jnp.where(rows.active[:, None], rows.matrix, 0),
    )
    return jax.tree.map(lambda x: x.astype(jnp.float32), values)


def opposed_pairs(rows: Correlation):
    """Number of pairs of players that are not zero, of opposed ones, worst cosine."""
    count = len(rows.norms)
    above = jnp.arange(count)[:, None] < jnp.arange(count)[None, :]
    compared = above & rows.active[:, None] & rows.active[None, :]
    conflicting = jnp.sum(compared & (rows.matrix < 0))
    worst = jnp.min(jnp.where(compared, rows.matrix, 1.0))
    return jnp.sum(compared), conflicting, jnp.where(jnp.any(compared), worst, 0.0)


def _compare(rows: Correlation, weights: Float[Array, " P"]):
    """Every player's cosine with the weighted sum, and how little of that cancels."""
    scaled = weights * rows.norms
    scaled = scaled * _tree.safe_divide(1.0, jnp.max(jnp.abs(scaled)))
    gains = jnp.matmul(rows.matrix, scaled, precision="highest")
    squared = scaled @ gains
    length = _tree.root(jnp.maximum(squared, 0))
    cosines = jnp.clip(_tree.safe_divide(gains, length), -1.0, 1.0)
    coherence = _tree.safe_divide(length, jnp.sum(jnp.abs(scaled)))
    return jnp.where(rows.active, cosines, 0.0), jnp.minimum(coherence, 1.0)
