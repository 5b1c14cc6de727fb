"""The recipes: NEAT as chains of the parts.

Nothing is computed here. Each recipe names an opponent, the rules, and what comes
after.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from neat_optax import _checks
from neat_optax._leaves import Scope, per_leaf
from neat_optax._schedules import value_at
from neat_optax.conflict._contest import Output, contest
from neat_optax.conflict._monitor import monitor_update
from neat_optax.conflict._opponents import Opponent, gradient_ema, momentum
from neat_optax.conflict._rules import rules_of_recipe


def neat_correction(
    alpha: optax.ScalarOrSchedule | None = None,
    *,
    opponent: Opponent | None = None,
    rules: optax.GradientTransformation | None = None,
    scope: Scope = per_leaf,
    watch_decay: optax.ScalarOrSchedule | None = None,
    accumulator_dtype: DTypeLike | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""NEAT's correction alone, to put before any optimizer.

    .. math:: u = g - \alpha\, c\, \frac{g \cdot o}{o \cdot o}\, o,
        \qquad c = \max(0, -\cos(g, o))

    Args:
      alpha: strength of the correction, at least 0, or a schedule; 0.25 by default.
      opponent: what the gradient is compared with; `gradient_ema(0.9)` by default.
      rules: what `neat_rules` returns, or any other rules, instead of `alpha`; by
        default `neat_rules(alpha)`.
      scope: over which parameters conflict is measured.
      watch_decay: decay of the average that noise is measured against, which rules
        with an `alpha_range` need; None watches nothing.
      accumulator_dtype: dtype of the histories; by default the parameters' own.
      monitor: whether to record what the rules decided, for `diagnostics`.

    Returns:
      A transformation from gradients to corrected gradients.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as neo
      >>> tx = optax.chain(neo.neat_correction(0.5), optax.adam(1e-3))
      >>> params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
      >>> updates, state = tx.update(params, tx.init(params), params)

      An alpha that adapts to conflict and noise:

      >>> rules = neo.neat_rules(0.25, alpha_range=(0.0, 1.0))
      >>> tx = neo.neat_correction(rules=rules, watch_decay=0.9)

    References:
      neat-optim, specification nce_spec_v2. The differences are in docs/math.md.
    """
    return contest(
        gradient_ema(0.9) if opponent is None else opponent,
        rules_of_recipe(alpha, rules, monitor),
        scope=scope,
        watch_decay=watch_decay,
        accumulator_dtype=accumulator_dtype,
    )


def scale_by_neat(
    beta: optax.ScalarOrSchedule = 0.9,
    *,
    alpha: optax.ScalarOrSchedule | None = None,
    opponent: Opponent | None = None,
    rules: optax.GradientTransformation | None = None,
    debias: bool = False,
    nesterov: bool = False,
    scope: Scope = per_leaf,
    watch_decay: optax.ScalarOrSchedule | None = None,
    accumulator_dtype: DTypeLike | None = None,
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
      opponent: what the gradient is compared with; its own momentum by default. Any
        opponent that looks at `momentum(beta)` shares the buffer.
      debias: whether to divide the momentum by `1 - beta^t`.
      nesterov: whether to return `beta * m_t + (1 - beta) * u_t`, with `m_t` debiased
        if asked for.
      alpha, rules, scope, watch_decay, accumulator_dtype, monitor: see
        `neat_correction`.

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

    def emit(corrected: jax.Array, memory: jax.Array, step: jax.Array) -> jax.Array:
        decay = value_at(beta, step)
        mean = memory / (1 - jnp.asarray(decay) ** (step + 1)) if debias else memory
        return decay * mean + (1 - decay) * corrected if nesterov else mean

    return contest(
        own if opponent is None else opponent,
        rules_of_recipe(alpha, rules, monitor),
        scope=scope,
        watch_decay=watch_decay,
        output=Output(own.histories[0], emit),
        accumulator_dtype=accumulator_dtype,
    )


def neat(
    learning_rate: optax.ScalarOrSchedule,
    alpha: optax.ScalarOrSchedule | None = None,
    beta: optax.ScalarOrSchedule = 0.9,
    *,
    opponent: Opponent | None = None,
    rules: optax.GradientTransformation | None = None,
    scope: Scope = per_leaf,
    watch_decay: optax.ScalarOrSchedule | None = None,
    accumulator_dtype: DTypeLike | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""The NEAT optimizer: corrected gradients, their momentum, a learning rate.

    .. math:: p_t = p_{t-1} - \eta\, m_t, \qquad
        m_t = \beta\, m_{t-1} + (1 - \beta)\, u_t

    `chain(scale_by_neat(beta), scale_by_learning_rate(learning_rate))`, inside
    `monitor_update` where it is monitored. Weight decay, Lion's sign, centralization,
    a preconditioner, lookahead and penalties are chained around `scale_by_neat`:
    docs/howto/migrate_neat_optim.md has a line for each.

    Args:
      learning_rate: positive number or schedule.
      alpha: strength of the correction, at least 0, or a schedule; 0.25 by default.
      beta: decay of the momentum in [0, 1), or a schedule.
      opponent: see `scale_by_neat`.
      rules, scope, watch_decay, accumulator_dtype: see `neat_correction`.
      monitor: whether to record conflict, correction and update for `diagnostics`.

    Returns:
      An optimizer.

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
    optimizer = optax.chain(
        scale_by_neat(
            beta,
            alpha=alpha,
            opponent=opponent,
            rules=rules,
            scope=scope,
            watch_decay=watch_decay,
            accumulator_dtype=accumulator_dtype,
            monitor=monitor,
        ),
        optax.scale_by_learning_rate(learning_rate),
    )
    return monitor_update(optimizer) if monitor else optimizer
