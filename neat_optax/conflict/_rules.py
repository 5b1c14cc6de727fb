"""The rules of NEAT, composed in their order."""

from __future__ import annotations

from collections.abc import Callable

import optax

from neat_optax import _checks
from neat_optax.conflict._correct import (
    adapt_alpha,
    adapt_correction,
    clip_correction,
    project_conflict,
)
from neat_optax.conflict._detect import detect_conflict
from neat_optax.conflict._gate import gate_by_conflict, gate_by_warmup
from neat_optax.conflict._monitor import monitor_correction

Range = tuple[optax.ScalarOrSchedule, optax.ScalarOrSchedule]
CorrectionRule = Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]
ALPHA = 0.25
"""The original's strength of the correction."""


def neat_rules(
    alpha: optax.ScalarOrSchedule = ALPHA,
    *,
    correction: CorrectionRule | None = None,
    clip_ratio: optax.ScalarOrSchedule = 1.0,
    warmup_steps: optax.ScalarOrSchedule | None = None,
    conflict_threshold: optax.ScalarOrSchedule | None = None,
    alpha_range: Range | None = None,
    correction_range: Range | None = None,
    conflict_decay: optax.ScalarOrSchedule = 0.9,
    noise_decay: optax.ScalarOrSchedule = 0.95,
) -> optax.GradientTransformation:
    """The rules of NEAT in their order, for `contest` and the recipes.

    `chain(detect_conflict, adapt_alpha?, correction, adapt_correction?,
    clip_correction, gate_by_conflict?, gate_by_warmup?)`; a rule with a question mark
    is there only where its argument is set. To record what they decide, chain
    `monitor_correction()` after them.

    Args:
      alpha: strength of the correction, at least 0, or a schedule. 0 is the control
        that measures and corrects nothing.
      correction: `project_conflict` (the default) or `dampen_conflict`, or another
        function from alpha to a rule.
      clip_ratio: bound on the correction as a share of the gradient's norm.
      warmup_steps: steps without correction at the start; None for none.
      conflict_threshold: conflict below which nothing is corrected; None for none.
      alpha_range: (minimum, maximum) of an adaptive alpha; None keeps alpha as it is.
        Needs a contest with `watch_decay`.
      correction_range: (minimum, maximum) of the factor of `adapt_correction`; None
        leaves it out.
      conflict_decay: decay of the averages of conflict.
      noise_decay: decay of the averages of noise and steadiness.
    """
    correct = project_conflict if correction is None else correction
    _checks.check_function("correction", correct)
    _checks.check_number("clip_ratio", clip_ratio, "(0, inf)")
    _checks.check_number("conflict_decay", conflict_decay, "[0, 1)")
    _checks.check_number("noise_decay", noise_decay, "[0, 1)")
    rules = [detect_conflict()]
    if alpha_range is None:
        rules.append(correct(alpha))
    else:
        _checks.check_range("alpha_range", alpha_range, "[0, inf)")
        low, high = alpha_range
        decays = {"conflict_decay": conflict_decay, "noise_decay": noise_decay}
        rules.append(adapt_alpha(alpha, minimum=low, maximum=high, **decays))
        rules.append(correct(1.0))
    if correction_range is not None:
        _checks.check_range("correction_range", correction_range, "(0, inf)")
        low, high = correction_range
        rules.append(adapt_correction(minimum=low, maximum=high, decay=conflict_decay))
    rules.append(clip_correction(clip_ratio))
    if conflict_threshold is not None:
        _checks.check_number("conflict_threshold", conflict_threshold, "[0, 1]")
        rules.append(gate_by_conflict(conflict_threshold))
    if warmup_steps is not None:
        _checks.check_count("warmup_steps", warmup_steps)
        rules.append(gate_by_warmup(warmup_steps))
    return optax.chain(*rules)


def rules_of_recipe(
    alpha: optax.ScalarOrSchedule | None,
    rules: optax.GradientTransformation | None,
    monitor: bool,
) -> optax.GradientTransformation:
    """The rules that a recipe was given, or NEAT's with its `alpha`; recorded last."""
    _checks.check_bool("monitor", monitor)
    if rules is None:
        rules = neat_rules(ALPHA if alpha is None else alpha)
    elif alpha is not None:
        raise ValueError(
            f"`alpha` must be None where `rules` are given, got {alpha!r}: pass it to "
            "neat_rules."
        )
    _checks.check_kind("rules", rules, optax.GradientTransformation)
    return optax.chain(rules, monitor_correction()) if monitor else rules
