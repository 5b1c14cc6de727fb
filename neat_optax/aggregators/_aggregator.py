"""What all aggregators are: transformations that take the player axis away."""

from typing import Any

import optax

from neat_optax import _checks


def aggregator(init_fn: Any, update_fn: Any) -> optax.GradientTransformationExtraArgs:
    """An aggregator: where it cannot stand in a chain or a wrapper, it says so.

    Args:
      init_fn: as in an `optax.GradientTransformation`.
      update_fn: from gradients with a leading player axis on every leaf to one update.
    """

    def init(params: optax.Params) -> optax.OptState:
        _checks.check_around_aggregator(params)
        _checks.check_differentiated("params", params)
        return init_fn(params)

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        _checks.check_around_aggregator(updates)
        return update_fn(updates, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(init, update)
