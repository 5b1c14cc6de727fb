"""The recipe: a whole optimizer of the parts."""

import optax

from neat_optax import _checks
from neat_optax.plasticity._scale import scale_by_plasticity
from neat_optax.plasticity._stabilize import clip_leaf_norm, stabilize


def neuroplastic(
    learning_rate: optax.ScalarOrSchedule,
    scaling: optax.GradientTransformation | None = None,
    *,
    weight_decay: optax.ScalarOrSchedule | None = None,
    decouple_weight_decay: bool = True,
    max_norm: optax.ScalarOrSchedule | None = 1.0,
    target_rms: optax.ScalarOrSchedule | None = None,
    stabilizer_rate: optax.ScalarOrSchedule = 0.01,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Gradient descent whose gain is the plasticity of each weight, stabilized.

    .. math:: p \leftarrow p - \eta\, \bigl(\text{stabilized}(\alpha\, g) + w\, p\bigr)

    `chain(scaling, clip_leaf_norm?, stabilize?, add_decayed_weights?,
    scale_by_learning_rate)`; a part with a question mark is there only where its
    argument is set.

    Args:
      learning_rate: :math:`\eta`, or a schedule.
      scaling: what scales the gradient: `scale_by_plasticity()` by default, or with
        signals, bounds and strength of your own, or one of them in `bound_residual` or
        `orthogonal_residual`. It says by itself whether it is monitored.
      weight_decay: :math:`w` at least 0, or a schedule; None for none.
      decouple_weight_decay: whether decay acts on the parameters (as in AdamW). If
        not, it is added before the stabilizer, which then bounds it too.
      max_norm: the norm that `clip_leaf_norm` allows each leaf; None for no bound.
      target_rms: the root mean square that `stabilize` holds each leaf at; None
        leaves it out.
      stabilizer_rate: the `rate` of `stabilize`, where `target_rms` is set.
      monitor: whether to record the default coefficients, clip and stabilizer for
        `diagnostics`.

    Returns:
      An optimizer.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx, p = neuroplastic(0.1), jnp.array([1.0, -2.0])
      >>> u, _ = tx.update(jnp.array([0.5, -0.25]), tx.init(p), p)
      >>> [round(x, 4) for x in optax.apply_updates(p, u).tolist()]
      [0.9367, -1.9817]

    References:
      NeuroPlastic Optimizer, version 0.1.0. The differences are in docs/math.md.
    """
    _checks.check_bool("decouple_weight_decay", decouple_weight_decay)
    if scaling is None:
        scaling = scale_by_plasticity(monitor=monitor)
    parts: list[optax.GradientTransformation] = [scaling]
    if max_norm is not None:
        parts.append(clip_leaf_norm(max_norm, monitor=monitor))
    if target_rms is not None:
        parts.append(stabilize(target_rms, stabilizer_rate, monitor=monitor))
    if weight_decay is not None:
        _checks.check_number("weight_decay", weight_decay, "[0, inf)")
        decay = optax.add_decayed_weights(weight_decay)
        parts.insert(len(parts) if decouple_weight_decay else 1, decay)
    chained = optax.chain(*parts, optax.scale_by_learning_rate(learning_rate))
    return optax.with_extra_args_support(chained)
