"""The presets that the original's studies name.

Each is `neat` with other defaults; for anything else call `neat`.
"""

from __future__ import annotations

import optax

from neat_optax.conflict._neat import neat
from neat_optax.conflict._opponents import previous_gradient


def neat_adaptive(
    learning_rate: optax.ScalarOrSchedule = 0.008,
    *,
    alpha: optax.ScalarOrSchedule = 0.25,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Adam-like, with a correction that grows with a strong or habitual opponent.

    Opponent: the previous gradient, in the preconditioned geometry. Alpha 0.25, beta
    0.9, clip ratio 1, correction scaled by 1 to 2.5, second moment 0.999, debiased.

    Args:
      learning_rate: positive number or schedule; Adam's scale.
      alpha: strength of the correction; 0 is the control.
      monitor: whether to record measures for `diagnostics`.
    """
    return neat(
        learning_rate,
        alpha=alpha,
        opponent=previous_gradient(),
        correction_range=(1.0, 2.5),
        second_moment_decay=0.999,
        debias=True,
        monitor=monitor,
    )


def neat_adaptive_alpha(
    learning_rate: optax.ScalarOrSchedule = 1e-3,
    *,
    alpha: optax.ScalarOrSchedule = 0.25,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Adam-like, with an alpha that follows conflict and noise.

    Opponent: the previous gradient, in the preconditioned geometry. Alpha 0.25 within
    [0, 1], beta 0.9, second moment 0.999, debiased.

    Args:
      learning_rate: positive number or schedule; Adam's scale.
      alpha: strength of the correction; 0 is the control.
      monitor: whether to record measures for `diagnostics`.
    """
    return neat(
        learning_rate,
        alpha=alpha,
        opponent=previous_gradient(),
        alpha_range=(0.0, 1.0),
        second_moment_decay=0.999,
        debias=True,
        monitor=monitor,
    )


def neat_lion(
    learning_rate: optax.ScalarOrSchedule = 3e-4,
    *,
    alpha: optax.ScalarOrSchedule = 0.2,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """The sign of a corrected, centralized momentum.

    Alpha 0.2 within [0, 1], beta 0.9. The original's quick start adds
    `nesterov=True, lookahead_period=5`.

    Args:
      learning_rate: positive number or schedule; Lion's scale.
      alpha: strength of the correction; 0 is the control.
      monitor: whether to record measures for `diagnostics`.
    """
    return neat(
        learning_rate,
        alpha=alpha,
        alpha_range=(0.0, 1.0),
        sign=True,
        centralize=True,
        monitor=monitor,
    )


def neat_light(
    learning_rate: optax.ScalarOrSchedule = 0.05,
    *,
    alpha: optax.ScalarOrSchedule = 0.25,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Sparse weights: an L1 penalty of 1e-3, and weights below 5e-3 zeroed.

    Args:
      learning_rate: positive number or schedule; see `scale_by_neat` on its scale.
      alpha: strength of the correction; 0 is the control.
      monitor: whether to record measures for `diagnostics`.
    """
    return neat(
        learning_rate, alpha=alpha, l1=1e-3, prune_threshold=5e-3, monitor=monitor
    )
