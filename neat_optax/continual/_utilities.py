"""Utilities of weights, and the gates that are made of them, for UPGD."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _tree
from neat_optax.continual import _isometry, _matrices


def averaged(
    average: jax.Array,
    gradient: jax.Array,
    weight: jax.Array,
    curvature: jax.Array | None,
    decay: Any,
) -> jax.Array:
    """The next average of the utilities of one array."""
    weight = _tree.widen(weight)
    utility = -jnp.real(_tree.widen(gradient) * jnp.conj(weight))
    if curvature is not None:
        squares = jnp.real(weight * jnp.conj(weight))
        utility = utility + 0.5 * jnp.real(_tree.widen(curvature)) * squares
    new = decay * average + (1 - decay) * utility
    return jnp.where(jnp.isfinite(new), new, average).astype(average.dtype)


def by_maximum(
    params: optax.Params,
    averages: list[jax.Array],
    numbers: Sequence[int],
    seen: jax.Array,
) -> list[jax.Array]:
    """Debiased averages over the largest average of all, which is not debiased."""
    del params, numbers
    if not averages:
        return []
    tops = [jnp.max(one, initial=-jnp.inf) for one in averages]
    most = jnp.max(jnp.stack(tops))
    # Without an entry there is no maximum, and nothing to divide.
    most = jnp.where(jnp.isfinite(most), most, 0)
    return [_tree.safe_divide(one, seen * most) for one in averages]


def by_unit(
    params: optax.Params,
    averages: list[jax.Array],
    numbers: Sequence[int],
    seen: jax.Array,
) -> list[jax.Array]:
    """Averages over their norm over what comes into a unit, or over the array."""
    del seen  # it cancels
    layers = _matrices.find_layers(params)
    return [
        _isometry.normalized(one, _matrices.axes_of_unit(one.shape, n, layers))
        for n, one in zip(numbers, averages, strict=True)
    ]
