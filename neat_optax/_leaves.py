"""Which leaves take part, over which of them sums are taken, and the sums."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree


class Scope(NamedTuple):
    """A division of the leaves among scopes.

    `owners(tree)` gives, for each leaf, the number of the scope that owns it. Scopes
    are numbered in the order of their first leaves.
    """

    name: str
    owners: Callable[[Any], tuple[int, ...]]

    def __repr__(self) -> str:
        return f"<scope {self.name}>"

    def count(self, tree: Any) -> int:
        """How many scopes there are."""
        return len(set(self.owners(tree)))


def _each(tree: Any) -> tuple[int, ...]:
    return tuple(range(len(jax.tree.leaves(tree))))


def _all(tree: Any) -> tuple[int, ...]:
    return (0,) * len(jax.tree.leaves(tree))


per_leaf = Scope("per_leaf", _each)
"""Every array is a contest of its own, as in the original."""

whole_tree = Scope("whole_tree", _all)
"""One contest over all parameters together."""


def by_label(labels: Any) -> Scope:
    """Leaves with the same label share one contest.

    Args:
      labels: a tree of labels with the structure of the parameters, or of a prefix of
        it, or a function from the parameters to such a tree. Labels are strings,
        numbers or other hashable values; scopes are numbered in the order in which
        the leaves first name them.

    Raises:
      ValueError: at init, if a leaf has no label.

    Example:
      >>> by_label({"trunk": "shared", "head": "own"}).owners(
      ...     {"trunk": {"w": 1.0, "b": 2.0}, "head": 3.0})
      (0, 1, 1)
    """

    def owners(tree: Any) -> tuple[int, ...]:
        tree_labels = labels(tree) if callable(labels) else labels
        known = dict(
            zip(_paths(tree_labels), jax.tree.leaves(tree_labels), strict=True)
        )
        names = [_label_of(path, known) for path in _paths(tree)]
        order = {label: index for index, label in enumerate(dict.fromkeys(names))}
        return tuple(order[label] for label in names)

    return Scope("by_label", owners)


def _paths(tree: Any) -> list[tuple[Any, ...]]:
    return [path for path, _ in jax.tree.leaves_with_path(tree)]


def _label_of(path: tuple[Any, ...], known: dict[tuple[Any, ...], Hashable]) -> Any:
    for length in range(len(path), -1, -1):
        if path[:length] in known:
            return known[path[:length]]
    raise ValueError(
        "`labels` must cover every leaf, got none for "
        f"{jax.tree_util.keystr(path) or 'the root'}."
    )


def sum_by_owner(measures: list[Any], owners: tuple[int, ...]) -> list[Any]:
    """Sums the leaves' measures over each scope."""
    totals: dict[int, Any] = {}
    for owner, measured in zip(owners, measures, strict=True):
        known = totals.get(owner)
        totals[owner] = (
            measured if known is None else jax.tree.map(jnp.add, known, measured)
        )
    return [totals[owner] for owner in sorted(totals)]


Which = Callable[[str, Any], bool]


def is_kernel(path: str, leaf: Any) -> bool:
    """Whether an array has two axes or more: kernels, but no biases and scales."""
    del path
    return jnp.ndim(leaf) > 1


def as_which(which: Any) -> Which:
    """The function that says which arrays are pruned, `is_kernel` where it is None."""
    which = is_kernel if which is None else which
    _checks.check_function("which", which)
    return which


def chosen(tree: Any, which: Any, name: str = "which") -> list[int]:
    """The numbers of the leaves that `which` says yes to."""
    rule = as_which(which)
    paths, leaves = _tree.leaf_names(tree), jax.tree.leaves(tree)
    pairs = zip(paths, leaves, strict=True)
    numbers = [number for number, pair in enumerate(pairs) if rule(*pair)]
    _checks.check_chosen(name, numbers, paths if rule is not is_kernel else [])
    return numbers


Where = Callable[[str, Any], bool]


def as_where(where: Any) -> Where:
    """The function that says which leaves take part: all, where it is None."""
    if where is None:
        return lambda path, leaf: True  # noqa: ARG005
    _checks.check_function("where", where)
    return where


def selected(tree: Any, where: Where) -> list[int]:
    """The numbers of the leaves that take part."""
    return chosen(tree, where, "where")


def zeros(tree: Any, where: Where, *, real: bool = False) -> Any:
    """A memory of the leaves that take part, in float32 or wider."""
    leaves, treedef = jax.tree.flatten(tree)
    memory: list[Any] = [optax.MaskedNode()] * len(leaves)
    for n in selected(tree, where):
        dtype = jnp.result_type(jnp.float32, leaves[n].dtype)
        dtype = jnp.finfo(dtype).dtype if real else dtype
        memory[n] = jnp.zeros_like(leaves[n], dtype=dtype)
    return treedef.unflatten(memory)


def groups(tree: Any, scope: Scope, numbers: Sequence[int]) -> list[int]:
    """For each of those leaves, the number of its scope, counted without gaps."""
    owners = scope.owners(tree)
    names = [owners[n] for n in numbers]
    order = {owner: index for index, owner in enumerate(dict.fromkeys(names))}
    return [order[owner] for owner in names]


def totals(owners: Sequence[int], numbers: Sequence[Any]) -> list[Any]:
    """For each leaf, the sum of `numbers` over all leaves of its scope."""
    sums: dict[int, Any] = {}
    for owner, number in zip(owners, numbers, strict=True):
        sums[owner] = sums[owner] + number if owner in sums else number
    return [sums[owner] for owner in owners]


def shortened(length: jax.Array, longest: jax.Array) -> jax.Array:
    """The factor that shortens `length` to `longest` where it is longer."""
    ratio = longest / jnp.where(length > longest, length, 1)
    return jnp.where(length > longest, ratio, 1.0)
