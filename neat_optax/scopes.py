"""Over which parameters inner products are summed."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax


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
