"""The recipes: NEAT as chains of the parts.

Nothing is computed here. Each recipe names an opponent, a chain of rules, and what
comes after.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._leaves import Scope, per_leaf
from neat_optax._schedules import value_at
from neat_optax.conflict._contest import Output, contest
from neat_optax.conflict._monitor import monitor_update
from neat_optax.conflict._opponents import Opponent, gradient_ema, momentum
from neat_optax.conflict._rules import CorrectionRule, Range, neat_rules
from neat_optax.sparsity import prune_below, soft_threshold
from neat_optax.transforms._centralize import centralize_outputs
from neat_optax.transforms._lookahead import keep_slow_params
from neat_optax.transforms._precondition import precondition


def neat_correction(
    alpha: optax.ScalarOrSchedule = 0.25,
    *,
    opponent: Opponent | None = None,
    correction: CorrectionRule | None = None,
    clip_ratio: optax.ScalarOrSchedule = 1.0,
    warmup_steps: optax.ScalarOrSchedule | None = None,
    conflict_threshold: optax.ScalarOrSchedule | None = None,
    alpha_range: Range | None = None,
    correction_range: Range | None = None,
    conflict_decay: optax.ScalarOrSchedule = 0.9,
    noise_decay: optax.ScalarOrSchedule = 0.95,
    scope: Scope = per_leaf,
    watch_decay: optax.ScalarOrSchedule = 0.9,
    accumulator_dtype: Any = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""NEAT's correction alone, to put before any optimizer.

    .. math:: u = g - \alpha\, c\, \frac{g \cdot o}{o \cdot o}\, o,
        \qquad c = \max(0, -\cos(g, o))

    Args:
      alpha: strength of the correction, at least 0, or a schedule.
      opponent: whom the gradient is compared with; `gradient_ema(0.9)` by default.
      scope: over which parameters conflict is measured.
      watch_decay: decay of the average that noise is measured against; used with
        `alpha_range`.
      accumulator_dtype: dtype of the histories; by default the parameters' own.
      correction, clip_ratio, warmup_steps, conflict_threshold, alpha_range,
        correction_range, conflict_decay, noise_decay, monitor: see `neat_rules`.

    Returns:
      A transformation from gradients to corrected gradients.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as neo
      >>> tx = optax.chain(neo.neat_correction(0.5), optax.adam(1e-3))
      >>> params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
      >>> updates, state = tx.update(params, tx.init(params), params)

    References:
      neat-optim, specification nce_spec_v2. The differences are in docs/math.md.
    """
    _checks.check_number("watch_decay", watch_decay, "[0, 1)")
    rules = neat_rules(
        alpha,
        correction=correction,
        clip_ratio=clip_ratio,
        warmup_steps=warmup_steps,
        conflict_threshold=conflict_threshold,
        alpha_range=alpha_range,
        correction_range=correction_range,
        conflict_decay=conflict_decay,
        noise_decay=noise_decay,
        monitor=monitor,
    )
    return contest(
        gradient_ema(0.9) if opponent is None else opponent,
        rules,
        scope=scope,
        watch_decay=None if alpha_range is None else watch_decay,
        accumulator_dtype=accumulator_dtype,
    )


def scale_by_neat(
    beta: optax.ScalarOrSchedule = 0.9,
    *,
    alpha: optax.ScalarOrSchedule = 0.25,
    opponent: Opponent | None = None,
    debias: bool = False,
    nesterov: bool = False,
    correction: CorrectionRule | None = None,
    clip_ratio: optax.ScalarOrSchedule = 1.0,
    warmup_steps: optax.ScalarOrSchedule | None = None,
    conflict_threshold: optax.ScalarOrSchedule | None = None,
    alpha_range: Range | None = None,
    correction_range: Range | None = None,
    conflict_decay: optax.ScalarOrSchedule = 0.9,
    noise_decay: optax.ScalarOrSchedule = 0.95,
    scope: Scope = per_leaf,
    watch_decay: optax.ScalarOrSchedule = 0.9,
    accumulator_dtype: Any = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""NEAT's correction and momentum in one.

    .. math:: m_t = \beta\, m_{t-1} + (1 - \beta)\, u_t

    with :math:`u_t` the corrected gradient. By default the opponent is
    :math:`m_{t-1}` itself, and the momentum is the only buffer. This momentum is an
    average: a learning rate `lr` here steps like `lr * (1 - beta)` in
    `optax.sgd(momentum=beta)`.

    Args:
      beta: decay of the momentum in [0, 1), or a schedule.
      alpha: strength of the correction, at least 0, or a schedule.
      opponent: whom the gradient is compared with; its own momentum by default. Any
        opponent that looks at `momentum(beta)` shares the buffer.
      debias: whether to divide the momentum by `1 - beta^t`.
      nesterov: whether to hand on `beta * m_t + (1 - beta) * u_t`, with `m_t` debiased
        if asked for.
      scope: over which parameters conflict is measured.
      watch_decay: decay of the average that noise is measured against; used with
        `alpha_range`.
      accumulator_dtype: dtype of the histories; by default the parameters' own.
      correction, clip_ratio, warmup_steps, conflict_threshold, alpha_range,
        correction_range, conflict_decay, noise_decay, monitor: see `neat_rules`.

    Returns:
      A transformation from gradients to a momentum, not yet scaled by a learning rate.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as neo
      >>> tx = optax.chain(neo.scale_by_neat(), optax.scale_by_learning_rate(0.05))
      >>> g = jnp.array([0.5, -0.25])
      >>> update, _ = tx.update(g, tx.init(g))
      >>> [round(x, 6) for x in update.tolist()]
      [-0.0025, 0.00125]
    """
    _checks.check_number("beta", beta, "[0, 1)")
    _checks.check_bool("debias", debias)
    _checks.check_bool("nesterov", nesterov)
    own = momentum(beta)
    _checks.check_number("watch_decay", watch_decay, "[0, 1)")
    rules = neat_rules(
        alpha,
        correction=correction,
        clip_ratio=clip_ratio,
        warmup_steps=warmup_steps,
        conflict_threshold=conflict_threshold,
        alpha_range=alpha_range,
        correction_range=correction_range,
        conflict_decay=conflict_decay,
        noise_decay=noise_decay,
        monitor=monitor,
    )

    def emit(corrected, memory, step):
        decay = value_at(beta, step)
        mean = memory / (1 - jnp.asarray(decay) ** (step + 1)) if debias else memory
        return decay * mean + (1 - decay) * corrected if nesterov else mean

    return contest(
        own if opponent is None else opponent,
        rules,
        scope=scope,
        watch_decay=None if alpha_range is None else watch_decay,
        output=Output(own.histories[0], emit),
        accumulator_dtype=accumulator_dtype,
    )


def neat(
    learning_rate: optax.ScalarOrSchedule,
    *,
    alpha: optax.ScalarOrSchedule = 0.25,
    beta: optax.ScalarOrSchedule = 0.9,
    opponent: Opponent | None = None,
    correction: CorrectionRule | None = None,
    clip_ratio: optax.ScalarOrSchedule = 1.0,
    warmup_steps: optax.ScalarOrSchedule | None = None,
    conflict_threshold: optax.ScalarOrSchedule | None = None,
    alpha_range: Range | None = None,
    correction_range: Range | None = None,
    conflict_decay: optax.ScalarOrSchedule = 0.9,
    noise_decay: optax.ScalarOrSchedule = 0.95,
    second_moment_decay: optax.ScalarOrSchedule | None = None,
    eps: float = 1e-8,
    precondition_conflict: bool = True,
    debias: bool = False,
    nesterov: bool = False,
    sign: bool = False,
    centralize: bool = False,
    weight_decay: optax.ScalarOrSchedule | None = None,
    decouple_weight_decay: bool = True,
    lookahead_period: int | None = None,
    lookahead_step_size: float = 0.5,
    l1: optax.ScalarOrSchedule | None = None,
    prune_threshold: optax.ScalarOrSchedule | None = None,
    scope: Scope = per_leaf,
    watch_decay: optax.ScalarOrSchedule = 0.9,
    accumulator_dtype: Any = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""The full NEAT optimizer: every option of the original, off unless asked for.

    In order: classical L2 decay or none; gradient centralization; `scale_by_neat`,
    preconditioned or not; sign; decoupled decay; learning rate; lookahead; soft
    threshold; pruning.

    Args:
      learning_rate: positive number or schedule.
      alpha, beta, opponent, nesterov, scope, watch_decay, accumulator_dtype: see
        `scale_by_neat`.
      correction, clip_ratio, warmup_steps, conflict_threshold, alpha_range,
        correction_range, conflict_decay, noise_decay: see `neat_rules`.
      second_moment_decay: decay of the second moment of an Adam-like preconditioner;
        None for none.
      eps: added to the root of the second moment.
      precondition_conflict: whether conflict is measured in the geometry of the
        preconditioner.
      debias: whether momentum and second moment are debiased.
      sign: whether only the sign of the momentum is used, as in Lion.
      centralize: whether the mean over all axes but the last is taken out of each
        gradient of two or more axes.
      weight_decay: at least 0, or a schedule; None for none.
      decouple_weight_decay: whether decay acts on the parameters (as in AdamW) or is
        added to the gradient, and so passes through correction and momentum (L2).
      lookahead_period: steps between two synchronizations; None for no lookahead.
      lookahead_step_size: how far the slow parameters go towards the fast ones.
      l1: weight of an L1 penalty, applied as a proximal step of `learning_rate * l1`.
      prune_threshold: size below which new parameters are zeroed.
      monitor: whether to record conflict, correction and update for `diagnostics`.

    Under `optax.inject_hyperparams`, name `correction` and `lookahead_period` among the
    `static_args` where they are used: the one is a function, the other a whole number.

    Returns:
      An optimizer. Needs `params` where decay, lookahead, `l1` or pruning are used.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as neo
      >>> tx = neo.neat(0.1)
      >>> p, g = jnp.array([1.0, -2.0]), jnp.array([0.5, -0.25])
      >>> update, _ = tx.update(g, tx.init(p), p)
      >>> [round(x, 4) for x in optax.apply_updates(p, update).tolist()]
      [0.995, -1.9975]

    References:
      neat-optim, specification nce_spec_v2. The differences are in docs/math.md.
    """
    _checks.check_number("learning_rate", learning_rate, "(0, inf)")
    for name, value in (
        ("sign", sign),
        ("centralize", centralize),
        ("decouple_weight_decay", decouple_weight_decay),
        ("precondition_conflict", precondition_conflict),
        ("monitor", monitor),
    ):
        _checks.check_bool(name, value)
    _checks.check_number("eps", eps, "(0, inf)")
    _checks.check_number("lookahead_step_size", lookahead_step_size, "(0, 1]")
    step = scale_by_neat(
        beta,
        alpha=alpha,
        opponent=opponent,
        debias=debias,
        nesterov=nesterov,
        correction=correction,
        clip_ratio=clip_ratio,
        warmup_steps=warmup_steps,
        conflict_threshold=conflict_threshold,
        alpha_range=alpha_range,
        correction_range=correction_range,
        conflict_decay=conflict_decay,
        noise_decay=noise_decay,
        scope=scope,
        watch_decay=watch_decay,
        accumulator_dtype=accumulator_dtype,
        monitor=monitor,
    )
    if second_moment_decay is not None:
        _checks.check_number("second_moment_decay", second_moment_decay, "[0, 1)")
        step = precondition(
            step,
            decay=second_moment_decay,
            eps=eps,
            debias=debias,
            as_metric=precondition_conflict,
        )
    parts: list[optax.GradientTransformation] = [step]
    if centralize:
        parts.insert(0, centralize_outputs())
    if sign:
        parts.append(optax.scale_by_sign())
    if weight_decay is not None:
        _checks.check_number("weight_decay", weight_decay, "[0, inf)")
        decay = optax.add_decayed_weights(weight_decay)
        parts.insert(len(parts) if decouple_weight_decay else 0, decay)
    parts.append(optax.scale_by_learning_rate(learning_rate))
    optimizer = optax.chain(*parts)
    if lookahead_period is not None:
        _checks.check_count("lookahead_period", lookahead_period, minimum=1)
        optimizer = keep_slow_params(optimizer, lookahead_period, lookahead_step_size)
    optimizer = _sparsify(optimizer, learning_rate, l1, prune_threshold)
    return monitor_update(optimizer) if monitor else optimizer


def _sparsify(optimizer, learning_rate, l1, prune_threshold):
    """Adds the thresholds, which go last so that zeros stay zero."""
    parts = [optimizer]
    if l1 is not None:
        _checks.check_number("l1", l1, "[0, inf)")

        def strength(step: Any) -> Any:
            return value_at(learning_rate, step) * value_at(l1, step)

        parts.append(soft_threshold(strength))
    if prune_threshold is not None:
        _checks.check_number("prune_threshold", prune_threshold, "[0, inf)")
        parts.append(prune_below(prune_threshold))
    return optax.chain(*parts) if len(parts) > 1 else optimizer
