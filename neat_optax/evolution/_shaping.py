"""From losses to utilities: how much each evaluation of an evolution strategy counts.

A utility takes the place of a loss: the lower, the better. Utilities add up to zero.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _tree


class Shaping(NamedTuple):
    """A rule from one player's losses to utilities, both of shape [num_pairs, 2].

    A row holds the losses at the two points of a mirrored pair. Losses are float32 or
    wider; what is not finite is the loss of an evaluation that failed.
    """

    name: str
    utilities: Callable[[jax.Array], jax.Array]

    def __repr__(self) -> str:
        return f"<shaping {self.name}>"


def _differences(losses: jax.Array) -> jax.Array:
    whole = jnp.isfinite(losses[:, :1] - losses[:, 1:])
    kept = jnp.where(whole, losses, 0)
    share = jnp.mean(whole.astype(losses.dtype))
    baseline = _tree.safe_divide(jnp.sum(kept / kept.size), share)
    return _tree.safe_divide(jnp.where(whole, kept - baseline, 0), share)


def _scores(losses: jax.Array) -> jax.Array:
    finite = jnp.isfinite(losses)
    worst = jnp.max(losses, initial=-jnp.inf, where=finite)
    filled = jnp.where(finite, losses, jnp.where(jnp.any(finite), worst, 0))
    scaled = _tree.safe_divide(filled, jnp.max(jnp.abs(filled)))
    centered = scaled - jnp.mean(scaled)
    centered = jnp.where(jnp.all(filled == worst), 0, centered)
    return _tree.safe_divide(centered, jnp.sqrt(jnp.mean(centered**2)))


def _centered_ranks(losses: jax.Array) -> jax.Array:
    return _by_rank(losses, np.linspace(-0.5, 0.5, losses.size))


def _nes_utilities(losses: jax.Array) -> jax.Array:
    place = np.arange(1, losses.size + 1)
    weights = np.maximum(0, np.log(losses.size / 2 + 1) - np.log(place))
    return _by_rank(losses, 1 - losses.size * weights / np.sum(weights))


def _by_rank(losses: jax.Array, table: np.ndarray) -> jax.Array:
    """The table's entry at the place of each loss, best first.

    Equal losses share the mean of their entries. Failures come last, all equal.
    """
    flat = jnp.where(jnp.isfinite(losses), losses, jnp.inf).reshape(-1)
    order = jnp.sort(flat)
    first = jnp.searchsorted(order, flat, side="left")
    after = jnp.searchsorted(order, flat, side="right")
    sums = jnp.asarray(np.concatenate([[0], np.cumsum(table)]), losses.dtype)
    mean = (sums[after] - sums[first]) / (after - first)
    alone = jnp.asarray(table, losses.dtype)[first]
    return jnp.where(after - first == 1, alone, mean).reshape(losses.shape)


raw = Shaping("raw", _differences)
r"""The losses themselves, less their mean, so that gradients are unbiased estimates.

A pair with a failed evaluation counts as 0, and the others for more: the mean is over
the pairs that are left, and 0 if none is.
"""

centered_ranks = Shaping("centered_ranks", _centered_ranks)
r"""Ranks from -1/2, the best, to 1/2, the worst (Salimans et al. 2017).

The same under every increasing map of the loss, so that outliers count for no more than
others. Equal losses share their mean rank, and a failed evaluation is the worst.
"""

standardized = Shaping("standardized", _scores)
r"""Losses less their mean, divided by their standard deviation; 0 if all are equal.

The same under every increasing affine map of the loss. A failed evaluation counts as
the worst that did not fail.
"""

nes_utilities = Shaping("nes_utilities", _nes_utilities)
r"""The utilities of natural evolution strategies: only ranks in the better half differ.

.. math:: 1 - \lambda \frac{\max(0, \log(\lambda/2 + 1) - \log k)}
    {\sum_{j=1}^\lambda \max(0, \log(\lambda/2 + 1) - \log j)}

for the evaluation of rank :math:`k` of :math:`\lambda`, rank 1 being the best: minus
the weights of Wierstra et al. (2014), times :math:`\lambda`, since means over the
evaluations take the place of sums here. Ties and failures as for `centered_ranks`.
"""
