"""NEAT between players in terms of their Gramian."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax.aggregators._weighting import (
    Decision,
    Players,
    Weighting,
    as_decision,
    everyone,
)
from neat_optax.conflict import _decide
from neat_optax.conflict._alignment import Alignment, Contest
from neat_optax.conflict._passes import Measured
from neat_optax.conflict._rules import neat_rules
from neat_optax.players._opponents import MeanOpponent, PlayerOpponent, others_mean


class Reduction(NamedTuple):
    """How corrected gradients are reduced to one."""

    preference: Any
    add: bool

    def shares(self, present: jax.Array, preference: Any = None) -> jax.Array:
        """`[P]`: how much every player counts; 0 for absent ones."""
        chosen = self.preference if preference is None else preference
        if chosen is None:
            return present.astype(jnp.float32)
        chosen = jnp.asarray(chosen, jnp.float32)
        return jnp.where(present & (chosen > 0), chosen, 0)

    def factors(self, shares: jax.Array) -> jax.Array:
        """`[P]`: the factors of the corrected gradients in the update."""
        return shares if self.add else _tree.safe_divide(shares, jnp.sum(shares))


def share_state(states: Any, weights: jax.Array, old: Any) -> Any:
    """One state from those of many contests: their mean, or for a counter any.

    Args:
      states: each array with the axes of `weights` first.
      weights: which contests count; if none does, the old state stays.
      old: the state before.
    """
    total = jnp.sum(weights)
    axes = tuple(range(weights.ndim))

    def share(values, before):
        if not jnp.issubdtype(values.dtype, jnp.inexact):
            return values[(0,) * weights.ndim]
        shape = (*weights.shape, *[1] * (values.ndim - weights.ndim))
        mean = jnp.sum(values * weights.reshape(shape), axis=axes) / total
        return jnp.where(total > 0, mean, before).astype(before.dtype)

    return jax.tree.map(share, states, old)


def neat_weighting(
    rules: Any, opponent: PlayerOpponent, reduction: Reduction
) -> Weighting:
    """NEAT between players as a weighting of their Gramian."""
    by_mean = isinstance(opponent, MeanOpponent)
    weigh = _weigh_against_mean if by_mean else _weigh_pairwise

    def init(_):
        zero = jnp.zeros((), jnp.float32)
        blank = Measured(zero, Alignment(zero, zero, zero), None, None)
        return rules.init(_decide.open_contest(blank, jnp.zeros((), jnp.int32)))

    def decide(players: Players, state: Any) -> tuple[Decision, Any]:
        shares = reduction.shares(players.present, players.preference)
        weights, state = weigh(rules, opponent, players, shares, reduction, state)
        return as_decision(weights), state

    return Weighting("neat", init, decide)


def _weigh_against_mean(rules, opponent, players, shares, reduction, state):
    gramian = players.gramian  # every decision is free of its scale
    own = jnp.zeros_like(shares) if opponent.include_self else shares
    alignment, inverse = mean_alignment(gramian, shares, own)
    decided, states = _decide_all(rules, alignment, state, players, 1)
    state = share_state(states, players.present.astype(jnp.float32), state)
    weights = combined_weights(decided, shares, own, inverse, reduction)
    return weights, state


def combined_weights(decided: Contest, shares, own, inverse, reduction: Reduction):
    r"""Weights of the gradients in :math:`\sum_i r_i (g_i + a_i g_i + b_i o_i)`."""
    factors = reduction.factors(shares)
    pull = factors * decided.on_opponent * inverse
    return factors * (1 + decided.on_gradient) + shares * jnp.sum(pull) - own * pull


def _weigh_pairwise(rules, opponent, players, shares, reduction, state):
    del opponent
    gramian = players.gramian  # every decision is free of its scale
    count = len(shares)
    meets = (shares > 0)[None, :] & (shares > 0)[:, None] & ~jnp.eye(count, dtype=bool)
    norms = jnp.diagonal(gramian)
    alignment = Alignment(
        gg=jnp.broadcast_to(norms[:, None], gramian.shape),
        go=jnp.where(meets, gramian, 0),
        oo=jnp.where(meets, norms[None, :], 0),
    )
    decided, states = _decide_all(rules, alignment, state, players, 2)
    state = share_state(states, meets.astype(jnp.float32), state)
    conflict = decided.detected("pairwise")
    parts = _tree.safe_divide(conflict, jnp.sum(conflict, axis=1, keepdims=True))
    factors = reduction.factors(shares)
    kept = factors * (1 + jnp.sum(parts * decided.on_gradient, axis=1))
    return kept + factors @ (parts * decided.on_opponent), state


def _decide_all(rules, alignment: Alignment, state, players: Players, num_axes):
    """The rules on every contest, all starting from the same state."""
    size = jnp.asarray(players.size, jnp.float32)

    def one(alignment):
        measured = Measured(size, alignment, None, None)
        return _decide.decide(rules, measured, state, players.step)

    for _ in range(num_axes):
        one = jax.vmap(one)
    return one(alignment)


def mean_alignment(gramian: jax.Array, shares: jax.Array, own: jax.Array):
    """Each player's alignment with a mean of players, and what its sum is divided by.

    Everything is summed over the opponent's players alone. A total minus one player
    would cancel where that player is the longest.

    Args:
      gramian: [P, P].
      shares: [P] of the players in the sum.
      own: [P] what of its own share each player takes out again: all of it, or nothing.
    """
    count = len(shares)
    taken = jnp.where(own > 0, 0.0, 1.0)
    kept = 1 - jnp.eye(count) * (1 - taken)[:, None]
    among = shares[None, :] * kept  # [P, P]: shares in o_i
    inverse = _tree.safe_divide(1.0, jnp.sum(among, axis=1))
    products = jnp.sum(among * gramian, axis=1) * inverse
    partial = jnp.einsum("ij,jk->ik", among, gramian, precision="highest")
    squares = jnp.maximum(jnp.sum(partial * among, axis=1), 0) * inverse**2
    return Alignment(jnp.diagonal(gramian), products, squares), inverse


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
