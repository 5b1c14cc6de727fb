"""Gradient centralization in the layout of Flax kernels."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import kernels


@cites("yong2020gradient")
def centralize_outputs() -> optax.GradientTransformationExtraArgs:
    r"""Subtracts the mean gradient of each output unit.

    .. math:: g_{:,k} \leftarrow g_{:,k} - \operatorname{mean}(g_{:,k})

    over all axes but the last, for kernels: arrays of two axes or more that are no
    biases and no scales, by their names and places. Flax kernels end in the
    output axis; `optax.centralize` averages over all axes but the first, which is the
    output axis of PyTorch's layout.

    References:
      Yong et al., "Gradient Centralization", 2020, equation 1.
    """

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.EmptyState]:
        del extra_args
        _checks.check_inexact("updates", updates)
        if params is not None:
            _checks.check_same_structure("updates", updates, "params", params)
        centered = [_center(g) if k else g for g, k in _with_roles(updates)]
        return jax.tree.structure(updates).unflatten(centered), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update_fn)


def _with_roles(updates: optax.Updates) -> list[tuple[jax.Array, bool]]:
    """The gradients, and which of them are those of kernels."""
    roles = jax.tree.leaves(kernels(updates))
    return list(zip(jax.tree.leaves(updates), roles, strict=True))


def _center(gradient: jax.Array) -> jax.Array:
    axes = tuple(range(gradient.ndim - 1))
    return gradient - jnp.mean(gradient, axis=axes, keepdims=True)
