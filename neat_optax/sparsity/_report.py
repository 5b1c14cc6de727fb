"""Sparsity statistics, and the export to sparse arrays."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._leaves import Mask, chosen, kernels


class LeafSparsity(NamedTuple):
    """The number of zeros of one array."""

    shape: tuple[int, ...]
    zeros: jax.Array  # [] int32; float32 where that does not hold the size

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    @property
    def sparsity(self) -> jax.Array:
        """The fraction of zeros; 0 for an empty array."""
        return self.zeros / float(max(self.size, 1))


def leaf_sparsities(
    params: optax.Params, *, mask: Mask | None = None
) -> dict[str, LeafSparsity]:
    """The sparsity of each array by its path.

    Args:
      params: a tree of arrays, or of masks.
      mask: which arrays are counted; by default `kernels`.
    """
    return dict(_each(params, mask))


def _each(params: optax.Params, mask: Mask | None) -> list[tuple[str, LeafSparsity]]:
    """Paths and sparsities; two arrays may have one path, as "a/b" in two ways."""
    paths, leaves = _tree.leaf_names(params), jax.tree.leaves(params)
    return [
        (
            paths[n],
            LeafSparsity(
                jnp.shape(leaves[n]), _tree.total(leaves[n] == 0, jnp.size(leaves[n]))
            ),
        )
        for n in chosen(params, mask, kernels)
    ]


def sparsity(params: optax.Params, *, mask: Mask | None = None) -> jax.Array:
    """The fraction of zeros in all arrays together, float32 of shape [].

    Args:
      params: a tree of arrays, or of masks. Works inside `jit`.
      mask: which arrays are counted; by default `kernels`, so that biases, which often
        start at zero, do not count.

    Example:
      >>> import jax.numpy as jnp
      >>> print(sparsity({"kernel": jnp.array([[1.0, 0.0]]), "bias": jnp.zeros(2)}))
      0.5
    """
    found = [leaf for _, leaf in _each(params, mask)]
    size = sum(leaf.size for leaf in found)
    zeros = jnp.stack([leaf.zeros for leaf in found] or [jnp.int32(0)])
    return _tree.total(zeros, size) / jnp.float32(max(size, 1))


def summary(params: optax.Params, *, mask: Mask | None = None) -> str:
    """A table of shape, entries, nonzero entries and sparsity of each array.

    Arrays that are left out, such as biases, are listed below the total, with their
    nonzero entries: the bias of a unit that `units` prunes is zero too.

    Args:
      params: a tree of concrete arrays, or of masks.
      mask: which arrays are in the total; by default `kernels`.

    Example:
      >>> import jax.numpy as jnp
      >>> kernel, bias = jnp.array([[1.0, 0.0, 2.0, 3.0]]), jnp.zeros(4)
      >>> print(summary({"dense": {"kernel": kernel, "bias": bias}}))
      array         shape  entries  nonzero  sparsity
      dense/kernel  1x4          4        3    25.00%
      total                      4        3    25.00%
      dense/bias    4            4        0  left out
    """
    rows = [("array", "shape", "entries", "nonzero", "sparsity")]
    found = _each(params, mask)
    for path, leaf in found:
        cells = _cells(leaf.size, int(leaf.zeros))
        rows.append((path or "(root)", _by(leaf.shape), *cells))
    size = sum(leaf.size for _, leaf in found)
    zeros = sum(int(leaf.zeros) for _, leaf in found)
    rows.append(("total", "", *_cells(size, zeros)))
    rows += _left_out(params, mask)
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(_line(row, widths) for row in rows)


def to_bcoo(params: optax.Params, *, mask: Mask | None = None) -> Any:
    """Converts arrays to `jax.experimental.sparse.BCOO`.

    A BCOO matrix stores what is not zero, and its indices. It multiplies, under `jit`
    and `grad` too, in functions that are written for it. The layers of Flax take none,
    and a convolution has none as its kernel: leave these out with `mask`.

    Args:
      params: a tree of concrete arrays.
      mask: which arrays are converted, by default `kernels`; the others stay as they
        are.

    Example:
      >>> import jax.numpy as jnp
      >>> kernel = to_bcoo({"kernel": jnp.array([[1.0, 0.0], [0.0, 2.0]])})["kernel"]
      >>> kernel.nse, (kernel @ jnp.ones(2)).tolist()
      (2, [1.0, 2.0])
    """
    _checks.check_inexact("params", params)
    leaves, treedef = jax.tree.flatten(params)
    from jax.experimental import sparse  # slow to import

    for n in chosen(params, mask, kernels):
        leaves[n] = sparse.BCOO.fromdense(_tree.unsharded(leaves[n]))
    return treedef.unflatten(leaves)


def _left_out(params: optax.Params, mask: Mask | None) -> list[tuple[str, ...]]:
    """The rows of the arrays that do not count."""
    paths, leaves = _tree.leaf_names(params), jax.tree.leaves(params)
    rest = sorted(set(range(len(leaves))) - set(chosen(params, mask, kernels)))
    return [
        (
            paths[n] or "(root)",
            _by(jnp.shape(leaves[n])),
            f"{jnp.size(leaves[n]):,}",
            _nonzeros(leaves[n]),
            "left out",
        )
        for n in rest
    ]


def _nonzeros(leaf: Any) -> str:
    """As text; nothing for a leaf without zeros, such as a random key."""
    if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
        return ""
    return f"{jnp.count_nonzero(leaf):,}"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _cells(size: int, zeros: int) -> tuple[str, str, str]:
    return f"{size:,}", f"{size - zeros:,}", f"{zeros / max(size, 1):.2%}"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [f"{row[0]:{widths[0]}}", f"{row[1]:{widths[1]}}"]
    cells += [f"{row[i]:>{widths[i]}}" for i in range(2, 5)]
    return "  ".join(cells).rstrip()
