"""The end of a chain that is sure that the players have been reduced."""

from typing import Any

import optax

from neat_optax import _checks


def require_reduced() -> optax.GradientTransformationExtraArgs:
    """Raises unless the updates have the shapes of the parameters; ends a chain.

    `optax.apply_updates` and `nnx.Optimizer` broadcast: an update that still has its
    player axis turns every parameter into one for each player, without a word.

    Returns:
      A transformation that passes updates on and needs `params`.

    Raises:
      ValueError: at trace time, if `params` is missing, or if the structure or a shape
        of the updates differs from that of the parameters.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = optax.chain(optax.sgd(0.1), require_reduced())
      >>> p, of_two_players = jnp.zeros(3), jnp.ones((2, 3))
      >>> tx.update(of_two_players, tx.init(p), p)  # doctest: +ELLIPSIS
      Traceback (most recent call last):
      ValueError: `updates` must have the shapes of `params`, got (2, 3) for (3,) at...
    """

    def update_fn(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        del extra_args
        _checks.check_update(updates, params, "require_reduced")
        return updates, state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update_fn)
