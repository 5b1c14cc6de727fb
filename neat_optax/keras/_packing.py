"""Trees as the flat lists that Keras keeps: parameters by path, optimizer states."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _checks


def places(paths: Sequence[str]) -> dict[str, Any]:
    """A nested dictionary of the paths' parts, with the number of each path.

    A path that is there already, or that leads into another one, gets a number.

    Example:
      >>> places(["net/dense/kernel", "net/dense/bias", "net/dense", "net/dense/bias"])
      {'net': {'dense': {'kernel': 0, 'bias': 1, 'bias_1': 3}, 'dense_1': 2}}
    """
    folders = {path[:i] for path in paths for i, x in enumerate(path) if x == "/"}
    taken = set(folders)
    tree: dict[str, Any] = {}
    for number, path in enumerate(paths):
        name, count = path, 0
        while name in taken:
            count += 1
            name = f"{path}_{count}"
        taken.add(name)
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = number
    return tree


def by_place(places: Any, values: Sequence[Any]) -> Any:
    """The values in a tree."""
    return jax.tree.map(lambda number: values[number], places)


def in_order(places: Any, tree: Any) -> list[Any]:
    """The values of a tree in the order of the paths."""
    numbers = jax.tree.leaves(places)
    pairs = zip(numbers, jax.tree.leaves(tree), strict=True)
    return [value for _, value in sorted(pairs, key=lambda pair: pair[0])]


@dataclasses.dataclass(frozen=True)
class Packing:
    """How a state becomes a list of plain arrays, and how the list becomes a state.

    Random keys are kept as their data. Everything in a state that is not an array,
    such as None and empty states, is part of its structure.
    """

    treedef: Any
    keys: tuple[Any, ...]  # of each leaf: the kind of its random key, or None
    names: tuple[str, ...]
    like: Any  # shapes and dtypes of the state

    @classmethod
    def of(cls, state: Any) -> "Packing":
        """The packing of states with this structure."""
        pairs, treedef = jax.tree.flatten_with_path(state)
        keys = tuple(_kind_of_key(leaf) for _, leaf in pairs)
        names = tuple(
            jax.tree_util.keystr(path, simple=True, separator="_").replace("/", "_")
            for path, _ in pairs
        )
        return cls(treedef, keys, names, jax.eval_shape(lambda: state))

    def pack(self, state: Any) -> list[jax.Array]:
        """The arrays of a state."""
        _checks.check_same_structure("state", state, "init(params)", self.like)
        return [
            jnp.asarray(leaf) if kind is None else jax.random.key_data(leaf)
            for leaf, kind in zip(jax.tree.leaves(state), self.keys, strict=True)
        ]

    def unpack(self, arrays: Sequence[Any]) -> Any:
        """The state with these arrays."""
        leaves = [
            x if kind is None else jax.random.wrap_key_data(x, impl=kind)
            for x, kind in zip(arrays, self.keys, strict=True)
        ]
        return jax.tree.unflatten(self.treedef, leaves)


def _kind_of_key(leaf: Any) -> Any:
    is_key = jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)
    return jax.random.key_impl(leaf) if is_key else None
