"""Conflict detection: negative cosine similarity of a gradient and its opponent."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._schedules import value_at
from neat_optax.conflict._alignment import Alignment, Contest

COSINE_ERROR = 1e-6
"""Rounding of a float32 cosine: a threshold of 1 must let exact opposition pass."""


def conflict(alignment: Alignment) -> jax.Array:
    """`max(0, -cosine)`, in [0, 1]; 0 where a norm is zero or not finite."""
    return jnp.maximum(-alignment.cosine, 0.0)


def reaches(conflict_value: jax.Array, threshold: Any) -> jax.Array:
    """Whether a conflict reaches a threshold, to within the rounding of a cosine."""
    return conflict_value >= threshold - COSINE_ERROR


def stateless_rule(
    decide: Callable[[Contest], Contest],
) -> optax.GradientTransformation:
    """Lifts a function from `Contest` to `Contest` to a transformation."""
    return stateful_rule(
        lambda _: optax.EmptyState(),
        lambda contest, state: (decide(contest), state),
    )


def stateful_rule(
    init: Callable[[Contest], Any],
    decide: Callable[[Contest, Any], tuple[Contest, Any]],
) -> optax.GradientTransformation:
    """Lifts functions on one `Contest` to a transformation.

    Args:
      init: from a blank contest to the rule's state, scalars for one scope.
      decide: from a contest and the state to the contest and the state after it.
    """

    def init_fn(params: Any) -> Any:
        return init(params)

    def update_fn(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        return decide(updates, state)

    return optax.GradientTransformation(init_fn, update_fn)


def detect_conflict(
    threshold: optax.ScalarOrSchedule = 0.0,
) -> optax.GradientTransformation:
    r"""Rule: measures how much a gradient points against its opponent.

    .. math:: c = \max(0, -\cos(g, o)), \qquad c = 0 \text{ where } c < \tau

    Comes first: the rules after it read the conflict. What lies below the threshold
    counts as no conflict at all, for averages and measures too; to measure it and only
    leave it uncorrected, use `gate_by_conflict`.

    Args:
      threshold: :math:`\tau` in [0, 1], or a schedule.

    References:
      Yu et al., "Gradient Surgery for Multi-Task Learning", 2020, Definition 1.
    """
    _checks.check_number("threshold", threshold, "[0, 1]")

    def rule(contest: Contest) -> Contest:
        measured = conflict(contest.alignment)
        enough = reaches(measured, value_at(threshold, contest.step))
        return contest._replace(conflict=jnp.where(enough, measured, 0.0))

    return stateless_rule(rule)
