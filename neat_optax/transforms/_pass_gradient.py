"""Passes the gradient to the last members of a chain."""

from typing import Any

import optax


def pass_gradient(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Passes the raw gradient to all members of a chain, as the extra argument `grad=`.

    The last members of a chain see updates only, but scores such as `saliency` need
    the gradient. What the caller passes as `grad=` is replaced. Inside
    `optax.masked` and `optax.multi_transform` say `mask_compatible_extra_args=True`.

    Args:
      inner: a chain, which keeps its own state.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax.sparsity import prune_to_sparsity, saliency
      >>> tx = pass_gradient(
      ...     optax.chain(optax.adam(1e-3), prune_to_sparsity(0.5, score=saliency))
      ... )
      >>> w, g = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 1.0]])
      >>> updates, _ = tx.update(g, tx.init(w), w)
      >>> (optax.apply_updates(w, updates) != 0).tolist()
      [[True, False]]
    """
    inner = optax.with_extra_args_support(inner)

    def update_fn(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        extra_args = {**extra_args, "grad": updates}
        return inner.update(updates, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(inner.init, update_fn)
