"""NEAT between players, by the single-gradient contest mapped over them.

Every player is corrected against a mean of the players and the results are reduced.
Opponents and corrected gradients are formed, so memory is a few times the input.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax.contest import contest
from neat_optax.opponents import given


def correct_between_players(
    rules: optax.GradientTransformation,
    *,
    include_self: bool = False,
    add: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Corrects each player against the mean of the others, and reduces.

    .. math:: o_i = \frac{1}{P - 1} \sum_{j \ne i} g_j, \qquad
        u = \frac1P \sum_i (g_i + q_i)

    Rules with averages start, for every player, from the shared ones; the new shared
    averages are the mean over players, whatever their order.

    Args:
      rules: as in `contest`.
      include_self: whether the opponent is the mean of all players.
      add: whether to sum over players instead of averaging.

    Returns:
      A transformation from gradients with a leading player axis to one update.
    """
    single = contest(given(), rules)
    reduce = jnp.sum if add else jnp.mean

    def update_fn(updates, state, params=None, **extra_args):
        del extra_args
        _check_players(updates, params)
        opponent = jax.tree.map(_all_mean if include_self else _others_mean, updates)
        corrected, states = jax.vmap(
            lambda g, o: single.update(g, state, opponent=o), (0, 0)
        )(updates, opponent)
        state = jax.tree.map(_share, states)
        return jax.tree.map(lambda x: reduce(x, axis=0), corrected), state

    return optax.GradientTransformationExtraArgs(single.init, update_fn)


def _share(values):
    """One value from the players': their mean, or for a counter that of any."""
    if not jnp.issubdtype(values.dtype, jnp.inexact):
        return values[0]
    return jnp.mean(values, axis=0, dtype=values.dtype)


def _all_mean(stack):
    return jnp.broadcast_to(jnp.mean(stack, axis=0), stack.shape)


def _others_mean(stack):
    """Mean of the other players; sums from both ends, since a difference cancels."""
    none = jnp.zeros_like(stack[:1])
    before = jnp.concatenate([none, jnp.cumsum(stack, axis=0)[:-1]])
    after = jnp.flip(jnp.cumsum(jnp.flip(stack, axis=0), axis=0), axis=0)
    after = jnp.concatenate([after[1:], none])
    return (before + after) / max(len(stack) - 1, 1)


def _check_players(updates: Any, params: Any) -> None:
    _checks.check_inexact("updates", updates)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(updates)]
    counts = {shape[:1] for shape in shapes}
    if len(counts) > 1 or () in counts or (0,) in counts:
        raise ValueError(
            "`updates` must have a leading player axis of one size on every leaf, got "
            f"shapes {', '.join(map(str, shapes))}."
        )
    if params is not None and counts:
        one = jax.tree.map(lambda leaf: leaf[0], updates)
        _checks.check_same_structure("updates of one player", one, "params", params)
