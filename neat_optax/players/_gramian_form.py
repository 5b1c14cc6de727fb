"""Contests between players decided from their Gramian: pairwise opponents, weights."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _stacked, _tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._gramian import Extras, Group, measure_gramian
from neat_optax.aggregators._gramian import Measured as MeasuredGramian
from neat_optax.aggregators._weighting import (
    Decision,
    Players,
    Weighting,
    as_decision,
    everyone,
    over_scopes,
)
from neat_optax.conflict import _decide, _passes
from neat_optax.conflict._alignment import Alignment, Contest
from neat_optax.conflict._passes import Measured
from neat_optax.conflict._rules import ALPHA, neat_rules
from neat_optax.players import _means
from neat_optax.players._form import Form, Reduction, combined_weights, share_state
from neat_optax.players._opponents import (
    MeanOpponent,
    PlayerOpponent,
    others_mean,
)


def gramian_form(
    rules: optax.GradientTransformation, opponent: PlayerOpponent, reduction: Reduction
) -> Form:
    """NEAT between players, decided from their Gramian."""
    weighting = neat_weighting(rules, opponent, reduction)

    def one_scope(players: Players, state: Any) -> tuple[Decision, Any]:
        decision, new = weighting.decide(players, state)
        weights = jnp.where(players.present, decision.weights, 0)
        return decision._replace(weights=weights), _tree.cast_like(new, state)

    def decide(
        measured: MeasuredGramian, state: Any, step: jax.Array
    ) -> tuple[Decision, Any]:
        del step  # the players know it
        return over_scopes(one_scope, measured.players, state)

    def combine(
        leaves: list[jax.Array],
        owners: tuple[int, ...],
        measured: MeasuredGramian,
        decided: Decision,
    ) -> list[jax.Array]:
        return [
            _stacked.weighted_sum(decided.weights[owner], measured.finite, leaf)
            for leaf, owner in zip(leaves, owners, strict=True)
        ]

    def report(
        groups: list[Group],
        extras: Extras,
        step: jax.Array,
        measured: MeasuredGramian,
        decided: Decision,
    ) -> tuple[MeasuredGramian, Decision]:
        del groups, extras, step
        return measured, decided

    return Form(measure_gramian, decide, combine, report)


def neat_weighting(
    rules: optax.GradientTransformation, opponent: PlayerOpponent, reduction: Reduction
) -> Weighting:
    """NEAT between players as a weighting of their Gramian."""

    def init(num_players: int | None) -> Any:
        del num_players
        step = jnp.zeros((), jnp.int32)
        blank: Any = _decide.open_contest(_passes.blank(False), step)
        return rules.init(blank)

    def decide(players: Players, state: Any) -> tuple[Decision, Any]:
        shares = reduction.shares(players.present, players.preference)
        if isinstance(opponent, MeanOpponent):
            weigh = functools.partial(_weigh_against_mean, opponent.include_self)
        else:
            weigh = _weigh_pairwise
        weights, state = weigh(rules, players, shares, reduction, state)
        return as_decision(weights), state

    return Weighting("neat", init, decide)


def _weigh_against_mean(
    include_self: bool,
    rules: optax.GradientTransformation,
    players: Players,
    shares: Float[Array, " P"],
    reduction: Reduction,
    state: Any,
) -> tuple[Float[Array, " P"], Any]:
    gramian = players.gramian  # every decision is free of its scale
    seats = _means.seat(players.present, shares, include_self)
    norms = jnp.diagonal(gramian)
    alignment = _means.alignment(norms, _means.sums(gramian, norms, seats), seats)
    decided, states = _decide_all(rules, alignment, state, players, 1)
    state = share_state(states, players.present.astype(jnp.float32), state)
    coefficients = decided.on_gradient, decided.on_opponent
    factors = reduction.factors(shares)
    weights = combined_weights(factors, *coefficients, *seats[1:])
    return weights, state


def _weigh_pairwise(
    rules: optax.GradientTransformation,
    players: Players,
    shares: Float[Array, " P"],
    reduction: Reduction,
    state: Any,
) -> tuple[Float[Array, " P"], Any]:
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


def _decide_all(
    rules: optax.GradientTransformation,
    alignment: Alignment,
    state: Any,
    players: Players,
    num_axes: int,
) -> tuple[Contest, Any]:
    """The rules on every contest, all starting from the same state."""
    size = jnp.asarray(players.size, jnp.float32)

    def one(alignment: Alignment) -> tuple[Contest, Any]:
        measured = Measured(size, alignment, None, None)
        return _decide.decide(rules, measured, state, players.step)

    for _ in range(num_axes):
        one = jax.vmap(one)
    return one(alignment)


def neat_weights(
    gramian: Float[Array, "P P"],
    alpha: float = ALPHA,
    *,
    opponent: PlayerOpponent | None = None,
    clip_ratio: float = 1.0,
    preference: ArrayLike | None = None,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
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
    return weighting.decide(players, weighting.init(None))[0].weights
