"""Which leaves take part, over which of them sums are taken, and the sums."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import _checks, _roles, _tree


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
        function = labels if _tree.is_function(labels) else lambda _: labels
        names = _tree.spread(function(tree), tree)
        for (path, _), name in zip(jax.tree.leaves_with_path(tree), names, strict=True):
            if name is None:
                raise ValueError(
                    "`labels` must cover every leaf, got none for "
                    f"{jax.tree_util.keystr(path) or 'the root'}."
                )
        order = {label: index for index, label in enumerate(dict.fromkeys(names))}
        return tuple(order[label] for label in names)

    return Scope("by_label", owners)


def sum_by_owner(measures: list[Any], owners: tuple[int, ...]) -> list[Any]:
    """Sums the leaves' measures over each scope."""
    totals: dict[int, Any] = {}
    for owner, measured in zip(owners, measures, strict=True):
        known = totals.get(owner)
        totals[owner] = (
            measured if known is None else jax.tree.map(jnp.add, known, measured)
        )
    return [totals[owner] for owner in sorted(totals)]


Mask = Any
"""Which leaves take part, as in optax: a tree of booleans with the structure of the
parameters or of a prefix of it, or a function from the parameters to such a tree."""


def kernels(params: Any) -> Any:
    """Mask: arrays of two axes or more that are no biases and no scales.

    What stacked layers and attention have of those is told by names and places: a
    `bias`, `scale`, `offset`, `gamma` or `beta`, `b` beside `w`, and all arrays of a
    normalization layer but a `kernel`. Names that say nothing leave the axes.

    Example:
      >>> import jax.numpy as jnp
      >>> kernels({"norm": {"scale": jnp.ones((4, 8))}, "w": jnp.ones((8, 2))})
      {'norm': {'scale': False}, 'w': True}
    """
    leaves, treedef = jax.tree.flatten(params)
    return treedef.unflatten(_roles.are_kernels(_tree.leaf_names(params), leaves))


def by_path(rule: Callable[[str, Any], bool]) -> Callable[[Any], Any]:
    """Mask: the leaves whose path and array satisfy a rule.

    Args:
      rule: from a path such as `"dense/kernel"` and an array to whether it takes part.

    Example:
      >>> mask = by_path(lambda path, leaf: "head" not in path)
      >>> mask({"trunk": {"kernel": 1.0}, "head": {"kernel": 2.0}})
      {'head': {'kernel': False}, 'trunk': {'kernel': True}}
    """
    _checks.check_function("rule", rule)

    def mask(params: Any) -> Any:
        leaves, treedef = jax.tree.flatten(params)
        pairs = zip(_tree.leaf_names(params), leaves, strict=True)
        return treedef.unflatten([bool(rule(*pair)) for pair in pairs])

    return mask


def everything(params: Any) -> Any:
    """Mask: all leaves."""
    return jax.tree.map(lambda _: True, params)


def as_mask(mask: Mask | None, default: Callable[[Any], Any] = everything) -> Any:
    """The mask as a function, which hashes; `default` where it is None."""
    if mask is None:
        return default
    return mask if _tree.is_function(mask) else lambda _: mask


def chosen(tree: Any, mask: Mask | None, default: Any = everything) -> list[int]:
    """The numbers of the leaves that take part, in the order of the leaves."""
    function = as_mask(mask, default)
    flags = _flags(function(tree), tree)
    numbers = [number for number, flag in enumerate(flags) if flag]
    given = function not in (everything, kernels)
    _checks.check_chosen("mask", numbers, _tree.leaf_names(tree) if given else [])
    return numbers


def _flags(mask: Any, tree: Any) -> list[bool]:
    """One flag for each leaf of the tree, of which the mask covers a prefix."""
    if not jax.tree.leaves(tree):
        return []  # as where optax asks for the structure of a state
    if not _tree.is_prefix(mask, tree):
        raise ValueError(
            "`mask` must have the structure of the parameters, or of a prefix of it, "
            f"got {jax.tree.structure(mask)}."
        )
    flags = _tree.spread(mask, tree)
    for flag in flags:
        if not isinstance(flag, (bool, np.bool_)):
            raise ValueError(f"`mask` must hold True or False, got {flag!r}.")
    return flags


def zeros(tree: Any, mask: Mask, *, real: bool = False) -> Any:
    """A memory of the leaves that take part, in float32 or wider."""
    leaves, treedef = jax.tree.flatten(tree)
    memory: list[Any] = [optax.MaskedNode()] * len(leaves)
    for n in chosen(tree, mask):
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
