"""FIRE: at a change of the task, each kernel becomes the nearest isometry."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask, chosen
from neat_optax.continual import _events, _isometry, _matrices


@cites("han2026fire")
def fire_weights(
    params: optax.Params, *, iterations: int = 10, mask: Mask | None = None
) -> Any:
    r"""Parameters with each kernel replaced by its polar factor: FIRE.

    .. math:: X_0 = W / \|W\|_F, \qquad
        X_{k+1} = \tfrac32 X_k - \tfrac12 X_k X_k^\top X_k, \qquad
        W \leftarrow \sqrt{d_\text{out} / d_\text{in}}\; X_n / p

    Of all matrices whose singular values are all equal to one, the polar factor is the
    one nearest to :math:`W`. A convolution has a matrix [inputs, outputs] for each of
    its :math:`p` positions; elsewhere :math:`p = 1`. Stacked layers are changed each by
    itself. Biases, scales and embeddings stay as they are, and so does a kernel that
    is zero or not finite.

    Call it before the first step on new data, and start the optimizer anew with
    `optimizer.init(params)`.

    Args:
      params: the parameters, with kernels in Flax's layout.
      iterations: :math:`n`, of Newton and Schulz. The paper has 5, its code 10: those
        singular values that are less than some hundredths of the norm stay below one
        with fewer.
      mask: which of the kernels are changed, as in `l2_to_init`; for a vision
        transformer the authors take those of queries and keys only.

    Returns:
      The new parameters, in the dtypes of the old.

    Example:
      >>> import jax.numpy as jnp
      >>> new = fire_weights({"kernel": jnp.array([[3.0, 0.0], [0.0, 0.5]])})
      >>> [[round(x, 3) for x in row] for row in new["kernel"].tolist()]
      [[1.0, 0.0], [0.0, 1.0]]

    References:
      Han et al., "FIRE: Frobenius-Isometry Reinitialization for Balancing the
      Stability-Plasticity Tradeoff", 2026; the factor
      :math:`\sqrt{d_\text{out} / d_\text{in}} / p` is that of the authors' code.
    """
    _checks.check_inexact("params", params)
    _checks.check_integer("iterations", iterations, 1)
    weights, treedef = jax.tree.flatten(params)
    layers = _matrices.find_layers(params)
    for n in chosen(params, mask):
        if n in layers.kernels:
            weights[n] = _isometric(layers.kernels[n], iterations, weights[n])
    return treedef.unflatten(weights)


@cites("han2026fire")
def fire(
    every: int | None = None, *, iterations: int = 10, mask: Mask | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""Turns the new parameters into isometries when the task changes: FIRE.

    .. math:: z = w + u, \qquad w + u \leftarrow \begin{cases} \text{fire}(z) & \text{at
        a change of the task} \\ z & \text{otherwise} \end{cases}

    Args:
      every: steps from one change to the next. By default the extra argument
        `new_task=` of update says at each step, as True or False or an array [] of it,
        whether the task changes after it.
      iterations: as in `fire_weights`. Under `optax.inject_hyperparams` it belongs in
        `static_args`.
      mask: as there.

    Returns:
      A transformation that needs `params` and goes last in a chain. The moments of the
      optimizer go on.

    Raises:
      ValueError: at update, if `new_task` is missing where `every` is not given.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = optax.chain(optax.sgd(0.1), fire())
      >>> w, still = {"kernel": jnp.eye(2) * 3}, {"kernel": jnp.zeros((2, 2))}
      >>> u, _ = tx.update(still, tx.init(w), w, new_task=True)
      >>> [round(x, 3) for x in optax.apply_updates(w, u)["kernel"][0].tolist()]
      [1.0, 0.0]

    References:
      Han et al., 2026.
    """
    _checks.check_integer("iterations", iterations, 1)
    cadence = _events.cadence(every)
    change = functools.partial(fire_weights, iterations=iterations, mask=mask)

    def init_fn(params: optax.Params) -> optax.ScaleByScheduleState:
        _checks.check_inexact("params", params)
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.ScaleByScheduleState]:
        _checks.check_update(updates, params, "fire")
        step = _tree.increment(state.count)
        due = _events.is_due(cadence, step, extra_args, "fire")
        updates = _events.moved_if(due, change, updates, params)
        return updates, optax.ScaleByScheduleState(step)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _isometric(
    layout: _matrices.Layout, iterations: int, kernel: jax.Array
) -> jax.Array:
    """A kernel with singular values that are all equal."""
    parts = _matrices.tensors(kernel, layout)
    _, positions, inputs, outputs = parts.shape
    scale = math.sqrt(outputs / inputs) / positions if parts.size else 1.0
    found = scale * _isometry.polar_factor(parts, iterations)
    new = _matrices.like_kernel(found, kernel)
    good = jnp.all(jnp.isfinite(kernel))
    return jnp.where(good, new.astype(kernel.dtype), kernel)
