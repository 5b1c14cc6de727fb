"""What is differentiated of the first argument of a loss: a tree, or an NNX module.

Flax is not imported here: without it there is no module.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from neat_optax import _checks


class Opened(NamedTuple):
    """The first argument of a loss, taken apart."""

    params: Any  # what is differentiated
    keys: Any  # random keys of a module
    rest: Any  # what else it carries: statistics and counters
    merge: Callable[[Any, Any, Any], Any]  # from these to what the loss is called with
    carried: Callable[[Any], Any]  # what that carries now
    keep: Callable[[Any], None]  # puts what is carried into the caller's module


def opened(params: Any, name: str = "params") -> Opened:
    """Modules by their roles, or any other tree as it is.

    `name` is that of the argument, for errors.

    Raises:
      ValueError: if something to be differentiated is neither floating nor complex.
    """
    nnx = sys.modules.get("flax.nnx")
    if nnx is None or not _has_modules(params, nnx.Module):
        _checks.check_differentiated(name, params)
        return Opened(params, (), (), lambda p, *_: p, lambda _: (), lambda _: None)
    graph, weights, keys, rest = nnx.split(params, nnx.Param, nnx.RngKey, ...)

    def merge(weights: Any, keys: Any, rest: Any) -> Any:
        # New variables, which belong to the trace that the loss runs in.
        return nnx.merge(graph, *jax.tree.map(lambda x: x, (weights, keys, rest)))

    def carried(module: Any) -> Any:
        return nnx.split(module, nnx.Param, nnx.RngKey, ...)[3]

    return Opened(
        weights, keys, rest, merge, carried, lambda rest: nnx.update(params, rest)
    )


def _has_modules(tree: Any, kind: type) -> bool:
    """Whether a tree is a module, or has any in it."""
    leaves = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, kind))
    return any(isinstance(leaf, kind) for leaf in leaves)


def pure(params: Any) -> Any:
    """Parameters as an optimizer sees them, without NNX's variables."""
    nnx = sys.modules.get("flax.nnx")
    return nnx.as_pure(params) if nnx and isinstance(params, nnx.State) else params


def split_keys(keys: Any, count: int) -> Any:
    """Of every random key one for each of so many players, along a leading axis."""

    def one(key: jax.Array) -> jax.Array:
        many = jax.vmap(lambda key: jax.random.split(key, count), out_axes=1)
        return many(key.reshape(-1)).reshape((count, *key.shape))

    return jax.tree.map(one, keys)


def check_untouched(before: Any, after: Any) -> None:
    """Raises if the loss of one example has changed statistics of a module."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is None or not isinstance(before, nnx.State):
        return
    states = map(nnx.to_flat_state, (before, after))
    for (path, old), (_, new) in zip(*states, strict=True):
        counts = isinstance(old, nnx.RngState)
        if not counts and old.get_value() is not new.get_value():
            raise ValueError(
                "`loss_fn` must leave the statistics of a module alone where players "
                f"are examples, got new ones at {'.'.join(map(str, path))}: those of a "
                "batch have no gradient of one example; use model.eval(), or groups as "
                "losses of value_and_player_grads."
            )
