"""DASH as an optimizer: at each new task it waits, looks at gradients, and shrinks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _tree
from neat_optax.continual import dash_weights


class DashState(NamedTuple):
    """State of `dash`."""

    step: jax.Array  # [] int32
    mean: Any  # of the gradients since the task began
    inner: Any


def dash(
    optimizer: optax.GradientTransformation, every: int, looks: int, floor: float = 0.3
) -> optax.GradientTransformationExtraArgs:
    """Shrinks weights against the gradient of a new task, before it is learned.

    Weights stand still for the first steps of every task but the first, while gradients
    are averaged. Then `dash_weights` is applied, and the optimizer starts anew.

    Args:
      optimizer: learning rate included.
      every: steps of a task.
      looks: steps of it in which gradients are averaged, at least 1.
      floor: as in `dash_weights`.
    """
    inner = optax.with_extra_args_support(optimizer)

    def init_fn(params: Any) -> DashState:
        zero = optax.tree.zeros_like(params)
        return DashState(jnp.zeros((), jnp.int32), zero, inner.init(params))

    def update_fn(
        updates: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, DashState]:
        place = state.step % every
        waits = (state.step >= every) & (place < looks)

        def look() -> tuple[Any, Any, Any]:
            share = 1 / (place + 1)
            mean = jax.tree.map(lambda m, g: m + share * (g - m), state.mean, updates)
            still = optax.tree.zeros_like(updates)
            moves, after = jax.lax.cond(
                place == looks - 1,
                lambda: (_way(params, mean, floor), inner.init(params)),
                lambda: (still, state.inner),
            )
            return moves, mean, after

        def learn() -> tuple[Any, Any, Any]:
            moves, after = inner.update(updates, state.inner, params, **extra_args)
            return moves, state.mean, after

        moves, mean, after = jax.lax.cond(waits, look, learn)
        return moves, DashState(_tree.increment(state.step), mean, after)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _way(params: Any, mean: Any, floor: float) -> Any:
    return optax.tree.sub(dash_weights(params, mean, floor), params)
