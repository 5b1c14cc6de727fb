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


def numbers(known: Sequence[int]) -> tuple[jax.Array, ...]:
    """Numbers in int32 that are unknown to the compiler.

    XLA compiles one kernel for all uses of numbers that it does not know, and one for
    each number that it does. It looks into branches: make them outside.
    """
    return jax.lax.optimization_barrier(tuple(map(jnp.int32, known)))


def map_alike(
    function: Callable[[Any], Any], parts: Sequence[Any], names: Sequence[jax.Array]
) -> list[Any]:
    """`function` of each part, one part after another within those that look alike.

    Args:
      function: from a tree of arrays to a tree of arrays.
      parts: trees of arrays.
      names: for each part one of `numbers`, in rising order.

    Returns:
      The results, in the order of the parts.
    """
    results: list[Any] = [None] * len(parts)
    for group in alike(parts):
        found = map_stacked(function, [parts[n] for n in group])
        single = apart(found, [names[n] for n in group])
        for number, result in zip(group, single, strict=True):
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
    return jax.lax.map(function, jax.tree.map(lambda *x: jnp.stack(x), *parts))


def apart(stacked: Any, names: Sequence[jax.Array]) -> list[Any]:
    """The results of `map_stacked`, one by one."""
    if len(names) == 1:
        return [stacked]
    rising = jnp.stack(names)
    places = [jnp.sum(rising < name) for name in names]
    take = functools.partial(jax.lax.dynamic_index_in_dim, keepdims=False)
    return [
        jax.tree.map(lambda x, place=place: take(x, place), stacked) for place in places
    ]
