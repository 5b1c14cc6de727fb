"""Lookahead for plain parameters."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites


class KeepSlowParamsState(NamedTuple):
    """State of `keep_slow_params`."""

    slow: optax.Params
    lookahead: optax.OptState  # of optax.lookahead


@cites("zhang2019lookahead")
def keep_slow_params(
    optimizer: optax.GradientTransformation, period: int = 5, step_size: float = 0.5
) -> optax.GradientTransformationExtraArgs:
    r"""`optax.lookahead` that keeps the slow parameters in its own state.

    .. math:: s \leftarrow s + \alpha (p - s), \qquad p \leftarrow s

    every `period` steps. `optax.lookahead` itself wants a pair of parameters from the
    caller; this one is a drop-in transformation over plain parameters, at the cost of
    one copy of them.

    Args:
      optimizer: the fast optimizer, learning rate included.
      period: steps between two synchronizations, an integer of at least 1.
      step_size: :math:`\alpha` in (0, 1].

    References:
      Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", 2019,
      Algorithm 1.
    """
    _checks.check_count("period", period, minimum=1)
    _checks.check_number("step_size", step_size, "(0, 1]")
    optimizer = optax.with_extra_args_support(optimizer)

    def lookahead(extra_args: dict[str, Any]) -> optax.GradientTransformation:
        # optax.lookahead passes no extra arguments on, so they are bound here.
        update = functools.partial(optimizer.update, **extra_args)
        bound = optax.GradientTransformation(optimizer.init, update)
        return optax.lookahead(bound, period, step_size)

    def init_fn(params: optax.Params) -> KeepSlowParamsState:
        slow = jax.tree.map(jnp.array, params)
        return KeepSlowParamsState(slow, lookahead({}).init(_pair(params, params)))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, KeepSlowParamsState]:
        _checks.check_params(params, "keep_slow_params")
        pair: Any
        pair, lookahead_state = lookahead(extra_args).update(
            updates, state.lookahead, _pair(params, state.slow)
        )
        slow = optax.apply_updates(state.slow, pair.slow)
        return pair.fast, KeepSlowParamsState(slow, lookahead_state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _pair(fast: Any, slow: Any) -> optax.LookaheadParams:
    return optax.LookaheadParams(fast=fast, slow=slow)
