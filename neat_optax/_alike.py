"""One loop for all that look alike, so that it is compiled once.

XLA takes longer to compile the search of one threshold than a whole step of Adam on ten
arrays. A network of a hundred arrays has few shapes.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree


def numbers(count: int) -> tuple[jax.Array, ...]:
    """The numbers 0, 1, ... below `count` in int32, unknown to the compiler.

    XLA compiles one kernel for all uses of numbers that it does not know, and one for
    each number that it does. It looks into branches: make them outside.
    """
    return jax.lax.optimization_barrier(tuple(map(jnp.int32, range(count))))


def map_alike(
    function: Callable[[Any], Any], parts: Sequence[Any], places: Sequence[jax.Array]
) -> list[Any]:
    """`function` of each part, one part after another within those that look alike.

    It belongs into a branch, since elsewhere the compiler finds out the places.

    Args:
      function: from a tree of arrays to a tree of arrays.
      parts: trees of arrays.
      places: `numbers` of as many at least.

    Returns:
      The results, in the order of the parts.
    """

    def of_group(group: list[int]) -> list[Any]:
        found = map_stacked(function, [parts[n] for n in group])
        return apart(found, places[: len(group)]) if group[1:] else [found]

    return _by_group(of_group, parts)


def map_at_once(
    function: Callable[[Any], Any], parts: Sequence[Any], places: Sequence[jax.Array]
) -> list[Any]:
    """`map_alike` of small parts: `function` takes those that look alike stacked."""

    def of_group(group: list[int]) -> list[Any]:
        return apart(function(_stack([parts[n] for n in group])), places[: len(group)])

    return _by_group(of_group, parts)


def _by_group(
    of_group: Callable[[list[int]], list[Any]], parts: Sequence[Any]
) -> list[Any]:
    results: list[Any] = [None] * len(parts)
    for group in alike(parts):
        for number, result in zip(group, of_group(group), strict=True):
            results[number] = result
    return results


def alike(parts: Sequence[Any]) -> list[list[int]]:
    """The numbers of the parts with the same structure, shapes and dtypes.

    A part that is sharded over explicit axes is like no other.
    """
    groups: dict[Any, list[int]] = {}
    for number, part in enumerate(parts):
        groups.setdefault(_looks(number, part), []).append(number)
    return list(groups.values())


def _looks(number: int, part: Any) -> Any:
    leaves, treedef = jax.tree.flatten(part)
    if any(_tree.explicit_sharding(jnp.asarray(leaf)) is not None for leaf in leaves):
        return number
    return treedef, tuple((jnp.shape(x), jnp.result_type(x)) for x in leaves)


def map_stacked(function: Callable[[Any], Any], parts: Sequence[Any]) -> Any:
    """The results for parts that look alike, stacked; that of a single one as it is.

    Stacking copies the parts.
    """
    if len(parts) == 1:
        return function(parts[0])
    return jax.lax.map(function, _stack(parts))


def _stack(parts: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *x: jnp.stack(x), *parts)


def apart(stacked: Any, places: Sequence[jax.Array]) -> list[Any]:
    """What is stacked, one by one: as many as places."""
    take = functools.partial(
        jax.lax.dynamic_index_in_dim, keepdims=False, allow_negative_indices=False
    )
    return [
        jax.tree.map(lambda x, place=place: take(x, place), stacked) for place in places
    ]
