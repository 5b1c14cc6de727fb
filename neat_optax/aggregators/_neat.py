"""NEAT between players in terms of their Gramian."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _decision, _tree
from neat_optax._leaf import Measured
from neat_optax.aggregators._weighting import Decision, Players, Weighting, as_decision
from neat_optax.alignment import Alignment, Contest
from neat_optax.player_opponents import MeanOpponent, PlayerOpponent


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
        return rules.init(_decision.open_contest(blank, jnp.zeros((), jnp.int32)))

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
        return _decision.decide(rules, measured, state, players.step)

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
