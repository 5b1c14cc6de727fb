"""MoCo's tracking variable."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _tree


class TrackState(NamedTuple):
    """State of `track_gradient`."""

    step: jax.Array  # [] int32
    tracked: Any  # a tree like the parameters


def track_gradient(rate: float, decay: float) -> optax.GradientTransformation:
    r"""Replaces gradients by a moving average with decaying step sizes (MoCo).

    .. math:: y \leftarrow y + \frac{\beta}{(t + 1)^\sigma} (g - y)

    from `y = 0`.

    Args:
      rate: :math:`\beta` in [0, 1].
      decay: nonnegative :math:`\sigma`.
    """

    def init_fn(params: Any) -> TrackState:
        return TrackState(jnp.zeros((), jnp.int32), optax.tree.zeros_like(params))

    def update_fn(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ):
        del params
        share = rate / (state.step + 1.0) ** decay

        def advance(g: jax.Array, y: jax.Array):
            wide = _tree.widen(y)
            return (wide + share * (_tree.widen(g) - wide)).astype(y.dtype)

        tracked = jax.tree.map(advance, updates, state.tracked)
        return tracked, TrackState(_tree.increment(state.step), tracked)

    return optax.GradientTransformation(init_fn, update_fn)
