"""Layerwise sparsities from an overall sparsity."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neat_optax import _checks

Shapes = Sequence[tuple[int, ...]]


class Allocation(NamedTuple):
    """`sparsities(shapes, sparsity)` gives one sparsity for each pruned array."""

    name: str
    sparsities: Callable[[Shapes, Any], Sequence[Any]]

    def __repr__(self) -> str:
        return f"<allocation {self.name}>"


def as_allocation(allocation: Any) -> Allocation:
    """The allocation itself, or one from a function of shapes and sparsity."""
    if callable(allocation):
        sparsities: Any = allocation
        return Allocation(getattr(allocation, "__name__", "allocation"), sparsities)
    _checks.check_kind("allocation", allocation, Allocation)
    return allocation


def _same(shapes: Shapes, sparsity: Any) -> Sequence[Any]:
    return [sparsity] * len(shapes)


def _by_erdos_renyi(shapes: Shapes, sparsity: Any) -> Sequence[Any]:
    """The density is proportional to the sum of an array's axes over their product.

    The factor is that with which min(1, factor * ratio) adds up. In order of falling
    ratio, the arrays that are full come first; for every guess of how many these are,
    the factor from the rest is at most the right one, which is the largest.
    """
    sizes = np.asarray([np.prod(shape) for shape in shapes], float)
    sums = np.asarray([sum(shape) or 1 for shape in shapes], float)  # () is as (1,)
    ratios = np.divide(sums, sizes, out=np.zeros_like(sums), where=sizes > 0)
    order = np.argsort(-ratios, kind="stable")
    full = np.concatenate([[0.0], np.cumsum(sizes[order])[:-1]])
    rest = np.cumsum((ratios * sizes)[order][::-1])[::-1]
    xp = np if isinstance(sparsity, (int, float)) else jnp
    kept = (1 - sparsity) * np.sum(sizes)
    factors = xp.where(rest > 0, (kept - full) / np.where(rest > 0, rest, 1), 0)
    densities = xp.minimum(1.0, xp.max(factors, initial=0.0) * ratios)
    return [1 - densities[i] for i in range(len(shapes))]


uniform = Allocation("uniform", _same)
"""The same sparsity for every array."""

erdos_renyi_kernel = Allocation("erdos_renyi_kernel", _by_erdos_renyi)
r"""Wider arrays are pruned more (ERK): the density of an array of shape
:math:`n_1, n_2, ...` is proportional to :math:`\sum_i n_i / \prod_i n_i`, but at most
1, with the factor that gives the overall sparsity (Evci et al., "Rigging the Lottery",
2020, section 3)."""
