"""Runs the rules on the inner products of every scope."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _tree
from neat_optax.conflict._alignment import Contest
from neat_optax.conflict._passes import Measured

BLOCK = 8
"""How many scopes are decided together: one set of scalar kernels serves a block,
which saves compile time; larger blocks cost more to gather than they save."""


def open_contest(measures: Measured, step: jax.Array) -> Contest:
    """The contest of one scope as the rules find it: measured, nothing decided."""
    raw = measures.raw
    zero = jnp.zeros_like(raw.gg)
    noise, steadiness = _noise_and_steadiness(measures)
    return Contest(
        step=step,
        size=measures.size,
        alignment=raw if measures.metric is None else measures.metric,
        raw=raw,
        noise=noise,
        steadiness=steadiness,
        conflict=None,
        strength=zero + 1,
        alpha=zero,
        on_gradient=zero,
        on_opponent=zero,
    )


def decide(
    rules: optax.GradientTransformation,
    measures: Measured,
    state: optax.OptState,
    step: jax.Array,
) -> tuple[Contest, optax.OptState]:
    """Runs the rules on one scope."""
    opened: Any = open_contest(measures, step)
    decided: Any
    decided, new_state = rules.update(opened, state)
    if not isinstance(decided, Contest):
        raise ValueError(
            f"`rules` must return a contest, got {type(decided).__name__}."
        )
    return decided, _tree.cast_like(new_state, state)


def decide_each(
    decide: Callable[..., Any],
    measures: list[Any],
    state: optax.OptState,
    step: jax.Array,
) -> tuple[list[Any], optax.OptState]:
    """Runs `decide(measures, state, step)` on all scopes, `BLOCK` at a time.

    Args:
      decide: mapped over a leading axis of scopes; returns what was decided for each,
        and the next states.
      measures: one entry for each scope.
      state: the rules' state, with a leading axis over scopes.
      step: steps taken before this one.
    """
    verdicts, states = [], []
    for start in range(0, len(measures), BLOCK):
        block = jax.tree.map(
            lambda *xs: jnp.stack(xs), *measures[start : start + BLOCK]
        )
        rows = jax.tree.map(lambda x, at=start: x[at : at + BLOCK], state)
        decided, new_rows = decide(block, rows, step)
        size = len(measures[start : start + BLOCK])
        verdicts += [jax.tree.map(lambda x, i=i: x[i], decided) for i in range(size)]
        states.append(new_rows)
    if states:
        state = jax.tree.map(lambda *xs: jnp.concatenate(xs), *states)
    return verdicts, state


def _noise_and_steadiness(
    measures: Measured,
) -> tuple[jax.Array | None, jax.Array | None]:
    if measures.history is None:
        return None, None
    gap, ema, previous = measures.history
    norms = _tree.root(measures.raw.gg) + _tree.root(ema)
    noise = _tree.safe_divide(_tree.root(gap), norms)
    return jnp.where(norms < jnp.inf, noise, 0.0), previous.cosine
