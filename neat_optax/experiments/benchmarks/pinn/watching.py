"""What an aggregator sees and does, recorded where it acts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

ROUNDING = 1e-6
"""Directions nearer than this are the same up to the order of a sum."""


class WatchState(NamedTuple):
    """State of `watch`: that of the aggregator, and what was seen last."""

    own: Any
    seen: dict[str, jax.Array]


def watch(
    aggregator: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Records the worst cosine between players, and the turn away from their mean.

    Both are taken in the coordinates, and in the `metric=`, in which the aggregator
    sees the players: inside a preconditioner they are those of the preconditioned
    space.

    Args:
      aggregator: its result is not changed.
    """
    aggregator = optax.with_extra_args_support(aggregator)

    def init_fn(params: Any) -> WatchState:
        names = ("inner_worst_cosine", "correction_ratio")
        return WatchState(aggregator.init(params), dict.fromkeys(names, jnp.zeros(())))

    def update_fn(updates: Any, state: Any, params: Any = None, **extra_args: Any):
        found, own = aggregator.update(updates, state.own, params, **extra_args)
        metric = extra_args.get("metric")
        rows = jax.vmap(lambda player: _vector(player, metric))(updates)
        row = _vector(found, metric)
        turn = jnp.linalg.norm(_unit(row) - _unit(jnp.mean(rows, axis=0)))
        seen = {
            "inner_worst_cosine": jnp.min(cosines(rows)),
            "correction_ratio": jnp.where(turn < ROUNDING, 0.0, turn),
        }
        return found, WatchState(own, seen)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def cosines(rows: jax.Array) -> jax.Array:
    """Those of all pairs of players, from gradients [P, N]."""
    units = rows / jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return (units @ units.T)[jnp.triu_indices(len(rows), 1)]


def seen(opt_state: Any) -> dict[str, jax.Array]:
    """What `watch` recorded in the last step, from any state that holds one."""

    def is_leaf(node: Any) -> bool:
        return isinstance(node, WatchState)

    leaves = jax.tree.leaves(opt_state, is_leaf=is_leaf)
    return next(leaf.seen for leaf in leaves if is_leaf(leaf))


def _vector(tree: Any, metric: Any) -> jax.Array:
    if metric is not None:
        tree = jax.tree.map(lambda x, m: x / jnp.sqrt(m), tree, metric)
    return jnp.concatenate([x.ravel() for x in jax.tree.leaves(tree)])


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-30)
