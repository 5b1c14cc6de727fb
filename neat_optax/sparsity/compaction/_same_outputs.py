"""Whether two networks compute the same on an input."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax.sparsity.compaction._layer_order import array_leaves

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr

Outputs = list[list[np.ndarray]]
Run = Callable[[Mapping[str, Any], list[tuple]], Outputs]


def compiled(program: "ClosedJaxpr") -> Run:
    """From arrays and inputs to the outputs for each input, widened."""
    from jax.extend.core import jaxpr_as_fun  # slow to import

    call = jax.jit(jaxpr_as_fun(program))

    def run(arrays: Mapping[str, Any], inputs: list[tuple]) -> Outputs:
        arguments = [(dict(arrays), array_leaves(x)) for x in inputs]
        results = [call(*jax.tree.leaves(pair)) for pair in arguments]
        return [[_wide(leaf) for leaf in result] for result in results]

    return run


def with_noise(x: tuple) -> list[tuple]:
    """`x`, and twice `x` plus normal noise, since `x` may be zeros."""
    rng = np.random.default_rng(0)

    def add(leaf: Any) -> Any:
        if not hasattr(leaf, "dtype") or not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return leaf + rng.standard_normal(leaf.shape).astype(leaf.dtype)

    return [x, jax.tree.map(add, x), jax.tree.map(add, x)]


def random(
    arrays: Mapping[str, Any], names: Sequence[str], seed: int
) -> dict[str, Any]:
    """Other values for kernels and biases, under which few units are at rest.

    Two networks of different structure may agree where most units give 0. The kernels
    keep the scale of their input, and the biases are about 1.
    """
    rng = np.random.default_rng(seed)
    result = dict(arrays)
    for name in names:
        like = arrays[name]
        fan_in = math.prod(like.shape[:-1])  # 1 for a bias
        values = rng.standard_normal(like.shape) / fan_in**0.5 + (like.ndim == 1)
        result[name] = values.astype(like.dtype)
    return result


def worst_difference(found: Outputs, expected: Outputs) -> float:
    """The largest difference, relative to the largest entry on any of the inputs."""
    worst = 0.0
    for a, b in zip(zip(*found, strict=True), zip(*expected, strict=True), strict=True):
        scale = max(_largest(array) for array in b)
        change = max(largest_change(*pair) for pair in zip(a, b, strict=True))
        worst = max(worst, change / max(scale, np.finfo(np.float64).tiny))
    return worst


def largest_change(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two arrays, where the second one is finite."""
    if a.shape != b.shape:
        return np.inf
    finite = np.isfinite(b)
    change = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0))
    return float(np.max(np.nan_to_num(change, nan=np.inf), initial=0))


def _largest(array: np.ndarray) -> float:
    return float(np.max(np.abs(np.where(np.isfinite(array), array, 0)), initial=0))


def _wide(leaf: Any) -> np.ndarray:
    wide = np.complex128 if jnp.iscomplexobj(leaf) else np.float64
    return np.asarray(leaf).astype(wide)
