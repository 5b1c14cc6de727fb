"""Records of coefficients, kept in the state for each leaf that takes part."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from neat_optax import _tree
from neat_optax._recording import Recorded
from neat_optax.plasticity import _effects
from neat_optax.plasticity._formulas import apart, square, usable

_NEAR = 0.05
_ROUNDS, _PARTS = 4, 8


class PlasticityRecord(NamedTuple):
    """What is recorded of the coefficients of one leaf at one step."""

    plasticity: jax.Array  # the mean coefficient
    plasticity_std: jax.Array  # its standard deviation over the entries
    plasticity_median: jax.Array  # the lower median, to a part in 4096 of the range
    plasticity_min: jax.Array
    plasticity_max: jax.Array
    near_minimum: jax.Array  # share within 5 % of the range from the lower bound
    near_maximum: jax.Array  # share within 5 % of the range from the upper bound
    gradient_norm: jax.Array
    plastic_norm: jax.Array  # |alpha g|
    gain: jax.Array  # |alpha g| / |g|
    plastic_share: jax.Array  # |(alpha - 1) g| / |g|


def record(
    state: Any,
    pairs: Sequence[tuple[jax.Array, jax.Array]],
    bounds: tuple[ArrayLike, ArrayLike],
) -> Recorded:
    """What is recorded next, from the coefficients and the gradients of the leaves.

    Args:
      state: a transformation's state, with its `step` and what is `recorded` so far.
      pairs: the coefficients and the gradient of each leaf.
      bounds: of the coefficients.
    """
    if not pairs:
        return state.recorded
    columns = zip(pairs, _squares_of_all(pairs), strict=True)
    found = [measured(alpha, norms, *bounds) for (alpha, _), norms in columns]
    leaves = [gradient for _, gradient in pairs]
    owners = list(range(len(leaves)))
    return _effects.record(
        state, owners, leaves, PlasticityRecord, *zip(*found, strict=True)
    )


def measured(
    alpha: jax.Array,
    squares: Sequence[jax.Array],
    minimum: Any,
    maximum: Any,
) -> PlasticityRecord:
    """What is recorded of one leaf. All is 0 for an empty one."""
    if not alpha.size:
        return PlasticityRecord(*[jnp.float32(0)] * len(PlasticityRecord._fields))
    near = _NEAR * (maximum - minimum)
    ends = counts([alpha <= minimum + near, alpha >= maximum - near])
    mean = jnp.mean(alpha)
    norms = [_tree.root(x) for x in squares]
    return PlasticityRecord(
        plasticity=mean,
        plasticity_std=_tree.root(jnp.mean(square(alpha - mean))),
        plasticity_median=median(alpha, minimum, maximum),
        plasticity_min=jnp.min(alpha),
        plasticity_max=jnp.max(alpha),
        near_minimum=ends[0] / float(alpha.size),
        near_maximum=ends[1] / float(alpha.size),
        gradient_norm=norms[0],
        plastic_norm=norms[1],
        gain=_tree.safe_divide(norms[1], norms[0]),
        plastic_share=_tree.safe_divide(norms[2], norms[0]),
    )


def median(x: jax.Array, low: ArrayLike, high: ArrayLike) -> jax.Array:
    """The lower median of numbers between two bounds, found by counting.

    Nothing is sorted, so that a sharded array stays where it is. Each of four passes
    cuts the range into eighths: it is right to a part in 4096 of the range.

    Example:
      >>> import jax.numpy as jnp
      >>> print(round(median(jnp.array([0.2, 0.5, 0.75, 2.0]), 0.2, 2.0).item(), 3))
      0.5
    """
    wanted = (x.size + 1) // 2
    wanted = wanted if x.size <= _tree.LARGEST_COUNT else float(wanted)

    def narrow(
        _: Any, ends: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        edges = jnp.linspace(ends[0], ends[1], _PARTS + 1, dtype=x.dtype)
        below = counts([x <= edges[k] for k in range(_PARTS)]) < wanted
        k = jnp.sum(below)  # 0 where half of the numbers are at the lower bound
        return edges[jnp.maximum(k - 1, 0)], edges[k]

    ends = jnp.asarray(low, x.dtype), jnp.asarray(high, x.dtype)
    ends = _tree.varying_like(ends, x)
    return jax.lax.fori_loop(0, _ROUNDS, narrow, ends)[1]


def counts(hits: Sequence[jax.Array]) -> jax.Array:
    """How many entries of each array are True, in one pass over what they follow from.

    The last axis is summed in one operation for all arrays, which XLA does not split
    into one for each.
    """
    ones = [jnp.atleast_1d(hit).astype(jnp.int32) for hit in hits]
    rows = jnp.stack(
        jax.lax.reduce(
            ones,
            [np.int32(0)] * len(ones),
            lambda a, b: [x + y for x, y in zip(a, b, strict=True)],
            (ones[0].ndim - 1,),
        )
    )
    return _tree.total(rows, hits[0].size, axis=tuple(range(1, rows.ndim)))


def _squares_of_all(
    pairs: Sequence[tuple[jax.Array, jax.Array]],
) -> list[list[jax.Array]]:
    """For each leaf, the squared norms of its gradient, scaled and changed.

    A finite norm shows that every square was. Only where one is not, all are summed
    again without the entries that count as 0.
    """
    found = [_squares(alpha, _tree.widen(gradient)) for alpha, gradient in pairs]
    return jax.lax.cond(
        jnp.all(jnp.stack([jnp.isfinite(squares[0]) for squares in found])),
        lambda: found,
        lambda: [_squares(alpha, usable(gradient)) for alpha, gradient in pairs],
    )


def _squares(alpha: jax.Array, gradient: jax.Array) -> list[jax.Array]:
    alpha, g = apart((alpha, gradient))
    return [jnp.sum(square(x)) for x in (g, alpha * g, (alpha - 1) * g)]
