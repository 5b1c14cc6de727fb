"""Trees in which a leaf may be factored."""

import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn, TypeGuard

import jax

from neat_optax import _tree
from neat_optax._factored._leaf import Factored


class Opened(Exception):
    """Something took the factors of a closed leaf for gradients."""


class Closed(Factored):
    """A factored leaf that is opened only by the functions of this module.

    Any other walk through a tree that holds it, such as the map of a transformation
    that knows nothing of factors, raises `Opened`.
    """


def _refuse(leaf: Closed) -> NoReturn:
    raise Opened(f"`updates` must not be factored here, got {leaf.shape}.")


jax.tree_util.register_pytree_node(Closed, _refuse, lambda _, terms: terms)


def is_factored(node: Any) -> TypeGuard[Factored]:
    """Whether a node of a tree stands for the gradients of one leaf."""
    return isinstance(node, Factored)


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """`jax.tree.flatten`, to arrays and factored leaves."""
    leaves, treedef = jax.tree.flatten(tree, is_leaf=is_factored)
    return list(map(_open, leaves)), treedef


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`jax.tree.map`, over arrays and factored leaves."""

    def of_open(*leaves: Any) -> Any:
        return function(*map(_open, leaves))

    return jax.tree.map(of_open, tree, *rest, is_leaf=is_factored)


def specs(tree: Any) -> Any:
    """The tree with the shape and dtype [P, ...] in place of every factored leaf."""
    return tree_map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if is_factored(x) else x, tree
    )


def explicit(tree: Any) -> Any:
    """The tree with an array [P, ...] for every factored leaf."""
    leaves, treedef = flatten(tree)
    return treedef.unflatten([x.explicit() if is_factored(x) else x for x in leaves])


def closed(tree: Any) -> Any:
    """The tree with every factored leaf closed."""
    return tree_map(lambda x: Closed(**vars(x)) if is_factored(x) else x, tree)


def divide(tree: Any, divisor: jax.Array) -> Any:
    """Gradients in float32 or wider, divided by a number.

    Of factors one is divided. Where the number is a power of 2, their products are
    those of the divided gradients bit for bit.
    """

    def divided(leaf: Any) -> Any:
        if not is_factored(leaf):
            return _tree.widen(leaf) / divisor
        terms = [(left, _tree.widen(right) / divisor) for left, right in leaf.terms]
        return dataclasses.replace(leaf, terms=tuple(terms))

    return tree_map(divided, tree)


def _open(leaf: Any) -> Any:
    return Factored(**vars(leaf)) if isinstance(leaf, Closed) else leaf
