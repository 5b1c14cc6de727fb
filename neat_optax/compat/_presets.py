"""The presets that the original's studies name.

Each is a chain of this library's parts; for other settings, write such a chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optax

from neat_optax import _checks
from neat_optax._schedules import value_at
from neat_optax.conflict._monitor import monitor_update
from neat_optax.conflict._neat import scale_by_neat
from neat_optax.conflict._opponents import previous_gradient
from neat_optax.conflict._rules import neat_rules
from neat_optax.sparsity import prune_below, soft_threshold
from neat_optax.transforms._centralize import centralize_outputs
from neat_optax.transforms._precondition import precondition


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
    scale = scale_by_neat(
        opponent=previous_gradient(),
        rules=neat_rules(alpha, correction_range=(1.0, 2.5)),
        debias=True,
        monitor=monitor,
    )
    return _with_rate(learning_rate, monitor, [precondition(scale, debias=True)])


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
    scale = scale_by_neat(
        opponent=previous_gradient(),
        rules=neat_rules(alpha, alpha_range=(0.0, 1.0)),
        debias=True,
        watch_decay=0.9,
        monitor=monitor,
    )
    return _with_rate(learning_rate, monitor, [precondition(scale, debias=True)])


def neat_lion(
    learning_rate: optax.ScalarOrSchedule = 3e-4,
    *,
    alpha: optax.ScalarOrSchedule = 0.2,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """The sign of a corrected, centralized momentum.

    Alpha 0.2 within [0, 1], beta 0.9. The original's quick start adds
    `nesterov=True, lookahead_k=5`, as a `NEATConfig` can.

    Args:
      learning_rate: positive number or schedule; Lion's scale.
      alpha: strength of the correction; 0 is the control.
      monitor: whether to record measures for `diagnostics`.
    """
    scale = scale_by_neat(
        rules=neat_rules(alpha, alpha_range=(0.0, 1.0)),
        watch_decay=0.9,
        monitor=monitor,
    )
    parts = [centralize_outputs(), scale, optax.scale_by_sign()]
    return _with_rate(learning_rate, monitor, parts)


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

    def strength(step: Any) -> Any:
        return 1e-3 * value_at(learning_rate, step)

    scale = scale_by_neat(alpha=alpha, monitor=monitor)
    sparsify = [soft_threshold(strength), prune_below(5e-3)]
    return _with_rate(learning_rate, monitor, [scale], sparsify)


def _with_rate(
    learning_rate: optax.ScalarOrSchedule,
    monitor: bool,
    before: Sequence[optax.GradientTransformation],
    after: Sequence[optax.GradientTransformation] = (),
) -> optax.GradientTransformationExtraArgs:
    """A chain with the learning rate in its place, recorded as a whole."""
    _checks.check_number("learning_rate", learning_rate, "(0, inf)")
    optimizer = optax.chain(
        *before, optax.scale_by_learning_rate(learning_rate), *after
    )
    return monitor_update(optimizer) if monitor else optimizer
