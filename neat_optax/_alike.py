"""One loop for all that look alike, so that it is compiled once.

XLA takes longer to compile the search of one threshold than a whole step of Adam on ten
arrays. A network of a hundred arrays has few shapes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree


def numbers(count: int) -> tuple[jax.Array, ...]:
    """The numbers from 0 on, each of them unknown to the compiler.

    XLA compiles one kernel for all uses of numbers that it does not know, and one for
    each number that it does. It looks into branches: make them outside.
    """
    known = tuple(jnp.int32(number) for number in range(count))
    return jax.lax.optimization_barrier(known)


def map_alike(
    function: Callable[[Any], Any], parts: Sequence[Any], names: Sequence[jax.Array]
) -> list[Any]:
    """`function` of each part, one part after another within those that look alike.

    Args:
      function: from a tree of arrays to a tree of arrays.
      parts: trees of arrays. Those with the same structure, shapes and dtypes are
        stacked, which copies them, unless they are sharded over explicit axes.
      names: for each part one of `numbers`, in rising order.

    Returns:
      The results, in the order of the parts.
    """
    alike: dict[Any, list[int]] = {}
    for number, part in enumerate(parts):
        alike.setdefault(_looks(number, part), []).append(number)
    results: list[Any] = [None] * len(parts)
    for group in alike.values():
        own = [parts[n] for n in group], [names[n] for n in group]
        for number, result in zip(group, _map_group(function, *own), strict=True):
            results[number] = result
    return results


def _looks(number: int, part: Any) -> Any:
    leaves, treedef = jax.tree.flatten(part)
    if any(_tree.explicit_sharding(jnp.asarray(leaf)) is not None for leaf in leaves):
        return number
    return treedef, tuple((jnp.shape(x), jnp.result_type(x)) for x in leaves)


def _map_group(
    function: Callable[[Any], Any], parts: Sequence[Any], names: Sequence[jax.Array]
) -> list[Any]:
    if len(parts) == 1:
        return [function(parts[0])]
    found = jax.lax.map(function, jax.tree.map(lambda *x: jnp.stack(x), *parts))
    sorted_names = jnp.stack(names)
    return [_take(found, jnp.sum(sorted_names < name)) for name in names]


def _take(stacked: Any, place: jax.Array) -> Any:
    return jax.tree.map(
        lambda x: jax.lax.dynamic_index_in_dim(x, place, keepdims=False), stacked
    )
