"""What players do, and what an aggregator makes of them, measured beside it.

Only what is asked of every aggregator, straight from one Gramian: the monitors of
`neat_optax.aggregators` record more, and solve a problem at every step to do so.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _factored, _stacked, _tree, aggregators
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._monitor import opposed_pairs

ROUNDING = 1e-6
"""Directions nearer than this are the same up to the order of a sum."""


class _Watched(NamedTuple):
    """What one step was: float32."""

    conflicting_pairs: jax.Array  # [] share of the pairs of players
    worst_cosine: jax.Array  # [] of two players
    worst_alignment: jax.Array  # [] smallest cosine of a player with the result
    correction_ratio: jax.Array  # [] |result / |result| - mean / |mean||, in [0, 2]


class _NextToMean(NamedTuple):
    """State of an aggregator, and what its last step was."""

    own: Any
    watched: _Watched


def next_to_mean(
    aggregator: optax.GradientTransformation, num_players: int
) -> optax.GradientTransformationExtraArgs:
    """Records how players conflict and how far an aggregator turns from their mean.

    The same for every aggregator, over all parameters.

    Args:
      aggregator: its result is not changed.
      num_players: the number of players.
    """
    own = optax.with_extra_args_support(aggregator)
    mean = aggregators.mean(num_players=num_players)

    def init_fn(params: optax.Params) -> _NextToMean:
        blank = _Watched(*(jnp.zeros(()) for _ in _Watched._fields))
        return _NextToMean(own.init(params), blank)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, _NextToMean]:
        result, own_state = own.update(updates, state.own, params, **extra_args)
        average, _ = mean.update(updates, mean.init(result), params)
        watched = _watched(updates, result, _turn(result, average))
        return result, _NextToMean(own_state, watched)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def player_measures(opt_state: Any) -> dict[str, jax.Array]:
    """What `next_to_mean` recorded in the last step, from any state that holds it."""

    def is_leaf(node: Any) -> bool:
        return isinstance(node, _Watched)

    (found,) = filter(is_leaf, jax.tree.leaves(opt_state, is_leaf=is_leaf))
    return {**found._asdict(), "opposed": jnp.float32(found.worst_cosine < 0)}


def _watched(updates: Any, result: Any, turn: jax.Array) -> _Watched:
    stacks, _ = _factored.flatten(updates)
    gramian = _stacked.gramian(stacks)
    finite = jnp.isfinite(jnp.diagonal(gramian))
    rows = correlation(jnp.where(finite[:, None] & finite[None, :], gramian, 0))
    pairs, conflicting, worst = opposed_pairs(rows)
    both = zip(stacks, jax.tree.leaves(result), strict=True)
    products = sum(_stacked.products(stack, leaf) for stack, leaf in both)
    lengths = rows.norms * optax.tree.norm(result)
    aligned = _tree.safe_divide(jnp.where(rows.active, products, 0), lengths)
    found = _tree.safe_divide(conflicting, pairs), worst, jnp.min(aligned), turn
    return _Watched(*(jnp.asarray(x, jnp.float32) for x in found))


def _turn(result: Any, average: Any) -> jax.Array:
    """How far two directions are apart; 0 within rounding. Lengths do not matter."""
    turn = optax.tree.norm(optax.tree.sub(_unit(result), _unit(average)))
    return jnp.where(turn < ROUNDING, 0.0, turn)


def _unit(tree: Any) -> Any:
    inverse = _tree.safe_divide(1.0, optax.tree.norm(tree))
    return optax.tree.scale(inverse, tree)
