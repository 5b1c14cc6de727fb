"""Dynamical isometry: singular values are pulled to one, beside the gradient's step."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask, chosen
from neat_optax._schedules import value_at
from neat_optax.continual import _isometry, _matrices


@cites("rosseau2026preserving", "chung2024parseval")
def isometry_regularization(
    strength: optax.ScalarOrSchedule = 1e-3,
    scale: optax.ScalarOrSchedule = 1.0,
    *,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Pulls all singular values of each kernel to one: Parseval regularization.

    .. math:: u \leftarrow u + \lambda \nabla R, \qquad
        R = \sum_W \begin{cases} \|W^\top W - s I\|_F^2 & \text{if } W \text{ has at
        least as many rows as columns} \\ \|W W^\top - s I\|_F^2 & \text{otherwise}
        \end{cases}

    The gradient is :math:`4 W (W^\top W - s I) = 4 (W W^\top - s I) W`, so that it does
    not matter which of the two is penalized. Like
    `l2_to_init` it goes before the learning rate: behind the scaling of the optimizer,
    as in `adamo`, or in front of it for a penalty in the loss. A convolution is the
    matrix [positions and inputs, outputs], of which the paper says nothing. A kernel
    that is not finite is not pulled.

    Args:
      strength: :math:`\lambda` at least 0, or a schedule.
      scale: `s`, the square of what singular values are pulled to: a number of at least
        0, or a schedule.
      mask: which parameters are pulled, as in `l2_to_init`; of those, kernels are.
        Biases, scales and embeddings never are.

    Returns:
      A transformation that needs `params`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = isometry_regularization(0.25)
      >>> w = {"kernel": jnp.diag(jnp.array([2.0, 1.0]))}
      >>> u, _ = tx.update({"kernel": jnp.zeros((2, 2))}, tx.init(w), w)
      >>> u["kernel"].tolist()
      [[6.0, 0.0], [0.0, 0.0]]

    References:
      Rosseau, Müller and Nowé, "Preserving Plasticity in Continual Learning via
      Dynamical Isometry", 2026, equation 16. Chung et al., "Parseval Regularization for
      Continual Reinforcement Learning", 2024, for `s`.
    """
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_number("scale", scale, "[0, inf)")

    def init_fn(params: optax.Params) -> optax.ScaleByScheduleState:
        _checks.check_inexact("params", params)
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.ScaleByScheduleState]:
        del extra_args
        _checks.check_update(updates, params, "isometry_regularization")
        layers, weights = _matrices.find_layers(params), jax.tree.leaves(params)
        square = value_at(scale, state.count)
        pulls = {
            n: _pull(weights[n], layers.kernels[n], square)
            for n in chosen(params, mask)
            if n in layers.kernels
        }
        amount = value_at(strength, state.count)
        updates = _matrices.add(updates, params, pulls, amount)
        count = _tree.increment(state.count)
        return updates, optax.ScaleByScheduleState(count)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@cites("rosseau2026preserving")
def adamo(
    learning_rate: optax.ScalarOrSchedule,
    strength: optax.ScalarOrSchedule = 1e-3,
    *,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""AdamO: Adam with a pull to isometry that its moments do not see.

    .. math:: w \leftarrow w - \alpha \frac{\hat m}{\sqrt{\hat v} + \epsilon} -
        \alpha \lambda \nabla R

    It is `optax.chain(optax.scale_by_adam(), isometry_regularization(strength),
    optax.scale_by_learning_rate(learning_rate))`, as AdamW is with weight decay. Where
    the paper gives the pull a step size of its own, `strength` is :math:`\lambda` times
    that over :math:`\alpha`. Orthogonal initializers start it where it leads to.

    Args:
      learning_rate: :math:`\alpha`, a number or a schedule.
      strength: as in `isometry_regularization`.
      b1: as in `optax.adam`.
      b2: as there.
      eps: as there.
      eps_root: as there.
      mask: as in `isometry_regularization`.

    Returns:
      An optimizer that needs `params`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = adamo(0.1, 0.25)
      >>> w = {"kernel": jnp.array([[2.0]]), "bias": jnp.array([2.0])}
      >>> u, _ = tx.update({"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)},
      ...                  tx.init(w), w)
      >>> round(u["kernel"].item(), 4), u["bias"].item() == 0
      (-0.6, True)

    References:
      Rosseau, Müller and Nowé, 2026, equations 16, 19 and 20.
    """
    return optax.chain(
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps, eps_root=eps_root),
        isometry_regularization(strength, mask=mask),
        optax.scale_by_learning_rate(learning_rate),
    )


def _pull(kernel: jax.Array, layout: _matrices.Layout, scale: Any) -> jax.Array:
    found = _isometry.pull(_matrices.matrices(kernel, layout), scale)
    pull = _matrices.like_kernel(found, kernel)
    return jnp.where(jnp.isfinite(pull), pull, 0)
