"""Correction rules: projection and damping, their adaptive strength, norm clipping."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._schedules import value_at
from neat_optax.conflict._alignment import Contest
from neat_optax.conflict._detect import stateful_rule, stateless_rule


@cites("neat2026", "yu2020gradient")
def project_conflict(
    alpha: optax.ScalarOrSchedule = 0.25,
) -> optax.GradientTransformation:
    r"""Rule: projects a share of the conflicting component out of the gradient.

    .. math:: q = -\alpha\, c\, \frac{g \cdot o}{o \cdot o}\, o

    so that :math:`|q| = \alpha c^2 |g|`. With :math:`\alpha c = 1` the corrected
    gradient is orthogonal to the opponent, as in PCGrad.

    Args:
      alpha: :math:`\alpha` at least 0, or a schedule. Multiplied by the strength that
        `adapt_alpha` has set.

    References:
      Yu et al., "Gradient Surgery for Multi-Task Learning", 2020, Algorithm 1, line 6,
      is the case :math:`\alpha c = 1`.
    """
    _checks.check_number("alpha", alpha, "[0, inf)")

    def rule(contest: Contest) -> Contest:
        strength = contest.strength * value_at(alpha, contest.step)
        share = strength * contest.detected("project_conflict")
        on_opponent = contest.on_opponent - share * contest.alignment.component
        return contest._replace(alpha=strength, on_opponent=on_opponent)

    return stateless_rule(rule)


def dampen_conflict(
    alpha: optax.ScalarOrSchedule = 0.25,
) -> optax.GradientTransformation:
    r"""Rule: scales the gradient down in proportion to its conflict.

    .. math:: q = -\alpha\, c\, g

    Never turns the gradient while :math:`\alpha c \le 1`.

    Args:
      alpha: :math:`\alpha` at least 0, or a schedule. Multiplied by the strength that
        `adapt_alpha` has set.
    """
    _checks.check_number("alpha", alpha, "[0, inf)")

    def rule(contest: Contest) -> Contest:
        strength = contest.strength * value_at(alpha, contest.step)
        share = strength * contest.detected("dampen_conflict")
        on_gradient = contest.on_gradient - share
        return contest._replace(alpha=strength, on_gradient=on_gradient)

    return stateless_rule(rule)


class AdaptAlphaState(NamedTuple):
    """State of `adapt_alpha`, per scope."""

    conflict: jax.Array  # [] float32 averages
    noise: jax.Array
    steadiness: jax.Array


def adapt_alpha(
    alpha: optax.ScalarOrSchedule = 0.25,
    *,
    minimum: optax.ScalarOrSchedule = 0.0,
    maximum: optax.ScalarOrSchedule = 1.0,
    conflict_decay: optax.ScalarOrSchedule = 0.9,
    noise_decay: optax.ScalarOrSchedule = 0.95,
) -> optax.GradientTransformation:
    r"""Rule: adapts alpha to EMAs of conflict, gradient noise and steadiness.

    .. math::

        \alpha_t = \operatorname{clip}\bigl(\alpha\,(1 + \bar c + \bar\eta
        - \tfrac12 \max(0, \bar a)),\ \alpha_{\min},\ \alpha_{\max}\bigr)

    with exponential averages of the conflict :math:`c`, of the noise
    :math:`\eta = |g - e| / (|g| + |e|)` against the gradient's own average :math:`e`,
    and of the cosine :math:`a` with the previous gradient. The averages start at 0 and
    are not debiased.

    Place it after `detect_conflict` and before the correction rule, whose own alpha
    multiplies this one: `chain(detect_conflict(), adapt_alpha(0.25),
    project_conflict(1.0))`. The contest must watch the history: `contest(...,
    watch_decay=0.9)`.

    Args:
      alpha: :math:`\alpha` at least 0, or a schedule.
      minimum: lower bound, at least 0, or a schedule.
      maximum: upper bound, at least `minimum`, or a schedule.
      conflict_decay: decay of :math:`\bar c` in [0, 1), or a schedule.
      noise_decay: decay of :math:`\bar\eta` and :math:`\bar a` in [0, 1), or a
        schedule.

    Raises:
      ValueError: at init, if the contest does not watch the history.
    """
    _checks.check_number("alpha", alpha, "[0, inf)")
    _checks.check_range("(minimum, maximum)", (minimum, maximum), "[0, inf)")
    _checks.check_number("conflict_decay", conflict_decay, "[0, 1)")
    _checks.check_number("noise_decay", noise_decay, "[0, 1)")

    def init(contest: Contest) -> AdaptAlphaState:
        if contest.noise is None:
            raise ValueError(
                "`watch_decay` must be set in the contest for adapt_alpha, got None."
            )
        zero = jnp.zeros((), jnp.float32)
        return AdaptAlphaState(zero, zero, zero)

    def decide(
        contest: Contest, state: AdaptAlphaState
    ) -> tuple[Contest, AdaptAlphaState]:
        step = contest.step
        slow, fast = value_at(conflict_decay, step), value_at(noise_decay, step)
        mean = AdaptAlphaState(
            conflict=_average(state.conflict, contest.detected("adapt_alpha"), slow),
            noise=_average(state.noise, contest.noise, fast),
            steadiness=_average(state.steadiness, contest.steadiness, fast),
        )
        wish = 1 + mean.conflict + mean.noise - 0.5 * jnp.maximum(mean.steadiness, 0)
        chosen = jnp.clip(
            value_at(alpha, step) * wish,
            value_at(minimum, step),
            value_at(maximum, step),
        )
        return contest._replace(strength=contest.strength * chosen), mean

    return stateful_rule(init, decide)


class AdaptCorrectionState(NamedTuple):
    """State of `adapt_correction`, per scope."""

    conflict: jax.Array  # [] float32 average


def adapt_correction(
    *,
    minimum: optax.ScalarOrSchedule = 1.0,
    maximum: optax.ScalarOrSchedule = 3.0,
    decay: optax.ScalarOrSchedule = 0.9,
) -> optax.GradientTransformation:
    r"""Rule: amplifies the correction where the opponent is large or conflict persists.

    .. math::

        q \leftarrow q \cdot \operatorname{clip}\Bigl(1 + \frac{|o|}{|g| + |o|} +
        \max(c, \bar c),\ A_{\min},\ A_{\max}\Bigr)

    with :math:`\bar c` the exponential average of the conflict, this step's included.
    Comes after the correction rule.

    Args:
      minimum: :math:`A_{\min}` above 0, or a schedule. Acts only above 1, since the
        factor is never smaller.
      maximum: :math:`A_{\max}`, at least `minimum`, or a schedule.
      decay: decay of :math:`\bar c` in [0, 1), or a schedule.
    """
    _checks.check_range("(minimum, maximum)", (minimum, maximum), "(0, inf)")
    _checks.check_number("decay", decay, "[0, 1)")

    def init(contest: Contest) -> AdaptCorrectionState:
        del contest
        return AdaptCorrectionState(jnp.zeros((), jnp.float32))

    def decide(
        contest: Contest, state: AdaptCorrectionState
    ) -> tuple[Contest, AdaptCorrectionState]:
        step = contest.step
        measured = contest.detected("adapt_correction")
        usual = _average(state.conflict, measured, value_at(decay, step))
        ratio = contest.alignment.norm_ratio
        reliability = ratio / (1 + ratio) + jnp.maximum(measured, usual)
        factor = jnp.clip(
            1 + reliability, value_at(minimum, step), value_at(maximum, step)
        )
        return contest.scaled(factor), AdaptCorrectionState(usual)

    return stateful_rule(init, decide)


def clip_correction(
    ratio: optax.ScalarOrSchedule = 1.0,
) -> optax.GradientTransformation:
    r"""Rule: clips the correction to a share of the gradient's norm.

    .. math:: |q| \le r\, |g|

    The bound holds in plain coordinates, also where conflict is measured in another
    metric. Comes after the rules that set and scale the correction.

    Args:
      ratio: :math:`r` above 0, or a schedule.
    """
    _checks.check_number("ratio", ratio, "(0, inf)")

    def rule(contest: Contest) -> Contest:
        bound = value_at(ratio, contest.step)
        squared = contest.squared_ratio
        share = bound * jax.lax.rsqrt(jnp.where(squared > 0, squared, 1.0))
        return contest.scaled(jnp.where(squared > 0, jnp.minimum(share, 1.0), 1.0))

    return stateless_rule(rule)


def _average(mean: jax.Array, value: Any, decay: Any) -> jax.Array:
    return decay * mean + (1 - decay) * value
