"""Resets optimizer state for selected parameter entries."""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def reset_moments(
    optimizer: optax.GradientTransformation,
    state: optax.OptState,
    params: optax.Params,
    mask: Any,
) -> optax.OptState:
    """Resets optimizer state for selected parameter entries.

    Whatever in the state is shaped like the parameters, as `optax.tree.map_params`
    finds it, gets the value that `optimizer.init(params)` gives it, where `mask` is
    true: moments, traces, slow parameters. Step counts and other numbers stay.

    Args:
      optimizer: the optimizer that the state belongs to.
      state: its state.
      params: the parameters.
      mask: a tree like `params` of boolean arrays.

    Returns:
      The state.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> adam, w = optax.adam(0.1), jnp.ones(2)
      >>> _, state = adam.update(w, adam.init(w), w)
      >>> state = reset_moments(adam, state, w, jnp.array([True, False]))
      >>> (state[0].mu == 0).tolist(), int(state[0].count)
      ([True, False], 1)
    """
    marks = optax.tree.map_params(
        optimizer,
        lambda old, mark: old if _is_masked(old) else mark,
        state,
        mask,
        transform_non_params=lambda _: None,
        is_leaf=_is_masked,
    )

    def reset(old: Any, fresh: Any, mark: Any) -> Any:
        return old if mark is None else jnp.where(mark, fresh, old)

    return jax.tree.map(reset, state, optimizer.init(params), marks)


def _is_masked(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)
