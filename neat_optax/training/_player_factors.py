"""Optimizers that may be given factored gradients."""

from typing import Any

import optax

from neat_optax import _factored


def taking_factors(
    tx: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """An optimizer for gradients of players of which some leaves are factored.

    What reads factors gets them: aggregators, contests and whatever else of this
    library knows them, first in the chain or behind something that hands the gradients
    on as they are. Where anything else comes first, all gradients are formed.
    """
    inner = optax.with_extra_args_support(tx)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        try:
            return inner.update(_factored.closed(updates), state, params, **extra)
        except _factored.Opened:
            return inner.update(_factored.explicit(updates), state, params, **extra)

    return optax.GradientTransformationExtraArgs(inner.init, update)
