"""Measures of any aggregator, whatever it measures itself."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _stacked, _tree
from neat_optax.conflict._alignment import Alignment

ROUNDING = 1e-6
"""Directions nearer than this are the same up to the order of a sum."""


class PlayerHistory(NamedTuple):
    """What one step of an aggregator met and did; float32, of shape []."""

    conflicting_pairs: jax.Array  # share of pairs with a negative inner product
    worst_cosine: jax.Array  # the smallest between two players
    opposed: jax.Array  # 1 where any two players conflict
    worst_alignment: jax.Array  # the smallest cosine of a player with the result
    correction_ratio: jax.Array  # |result / |result| - mean / |mean||, in [0, 2]


class WatchState(NamedTuple):
    """State of `watch`."""

    inner: Any
    latest: PlayerHistory


def watch(
    aggregator: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Records how players conflict and how far an aggregator moves away from the mean.

    Cheaper than `monitor=True`, which also solves for the players' shortest
    combination, and the same for every aggregator.

    Args:
      aggregator: its result is handed on unchanged.
    """
    aggregator = optax.with_extra_args_support(aggregator)

    def init_fn(params):
        blank = PlayerHistory(*[jnp.zeros((), jnp.float32)] * 5)
        return WatchState(aggregator.init(params), blank)

    def update_fn(updates, state, params=None, **extra_args):
        result, inner = aggregator.update(updates, state.inner, params, **extra_args)
        average = jax.tree.map(lambda g: jnp.mean(g, axis=0), updates)
        conflicting, worst = _pairs(_stacked.gramian(jax.tree.leaves(updates)))
        latest = PlayerHistory(
            conflicting_pairs=conflicting,
            worst_cosine=worst,
            opposed=jnp.float32(worst < 0),
            worst_alignment=jnp.min(_cosines(updates, result)),
            correction_ratio=_turn(result, average),
        )
        return result, WatchState(inner, latest)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def player_measures(opt_state: Any) -> dict[str, jax.Array]:
    """What `watch` recorded in the last step, from any state that holds it."""

    def is_leaf(node):
        return isinstance(node, WatchState)

    (found,) = filter(is_leaf, jax.tree.leaves(opt_state, is_leaf=is_leaf))
    return found.latest._asdict()


def _pairs(gramian: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Share of pairs in conflict and the smallest cosine, among players not zero."""
    norms = jnp.sqrt(jnp.diagonal(gramian))
    lengths = norms[:, None] * norms[None, :]
    compared = jnp.triu(lengths > 0, k=1)
    cosines = jnp.where(compared, _tree.safe_divide(gramian, lengths), 1.0)
    share = _tree.safe_divide(jnp.sum(cosines < 0), jnp.sum(compared))
    return share, jnp.where(jnp.any(compared), jnp.min(cosines), 0.0)


def _cosines(updates: Any, result: Any) -> jax.Array:
    """[P]: the cosine of each player with the result."""

    def of_player(gradient):
        pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(result), strict=True)
        products = jnp.asarray([_tree.gram(g, u) for g, u in pairs])
        gg, go, oo = jnp.sum(products, axis=0)
        return Alignment(gg, go, oo).cosine

    return jax.vmap(of_player)(updates)


def _turn(result: Any, average: Any) -> jax.Array:
    """How far two directions are apart; 0 within rounding. Lengths do not matter."""
    apart = jax.tree.map(jnp.subtract, _unit(result), _unit(average))
    turn = _norm(apart)
    return jnp.where(turn < ROUNDING, 0.0, turn)


def _unit(tree: Any) -> Any:
    inverse = _tree.safe_divide(1.0, _norm(tree))
    return jax.tree.map(lambda x: _tree.widen(x) * inverse, tree)


def _norm(tree: Any) -> jax.Array:
    return jnp.sqrt(sum(_tree.inner(x, x) for x in jax.tree.leaves(tree)))
