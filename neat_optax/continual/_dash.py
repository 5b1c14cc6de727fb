"""DASH: at a change of the data, weights against the gradient's direction shrink."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask, chosen
from neat_optax.continual import _isometry, _matrices


@cites("shin2024dash")
def dash_weights(
    params: optax.Params,
    gradients: optax.Updates,
    floor: ArrayLike = 0.3,
    *,
    mask: Mask | None = None,
) -> Any:
    r"""Parameters shrunk where they do not point the way that the loss falls: DASH.

    .. math:: w \leftarrow \max\Bigl(\lambda, \frac{-g \cdot w}{\|g\|\, \|w\|}\Bigr) w

    for the weights :math:`w` that come into each unit of a Dense layer, those between
    an input and an output of a convolution, and each bias as a whole. Scales of
    normalization layers and embeddings stay as they are. Where a gradient or a weight
    is zero the cosine is 0, and so is it where they are not finite.

    Call it when new data come, with gradients of the old weights on them; the scale of
    the gradients cancels. The authors average them over batches with `optax.ema(0.7,
    debias=False)` or with other decays. Start the optimizer anew with
    `optimizer.init(params)`.

    Args:
      params: the parameters, with kernels in Flax's layout.
      gradients: gradients of the loss, a tree like the parameters.
      floor: :math:`\lambda` in [0, 1], the smallest factor.
      mask: which parameters are shrunk, as in `l2_to_init`.

    Returns:
      The new parameters, in the dtypes of the old.

    Raises:
      ValueError: if the gradients do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> new = dash_weights({"kernel": jnp.array([[1.0, 1.0], [0.0, 0.0]])},
      ...                    {"kernel": jnp.array([[-3.0, 3.0], [4.0, 4.0]])}, 0.25)
      >>> [[round(x, 4) for x in row] for row in new["kernel"].tolist()]
      [[0.6, 0.25], [0.0, 0.0]]

    References:
      Shin, Oh, Cho and Yun, "DASH: Warm-Starting Neural Network Training in Stationary
      Settings without Loss of Plasticity", 2024, algorithm 1; biases are shrunk as in
      the authors' code.
    """
    _checks.check_number("floor", floor, "[0, 1]")
    _checks.check_inexact("params", params)
    _checks.check_same_structure("gradients", gradients, "params", params)
    layers, treedef = _matrices.find_layers(params), jax.tree.structure(params)
    weights, slopes = jax.tree.leaves(params), jax.tree.leaves(gradients)
    for n in chosen(params, mask):
        axes = _axes(weights[n].shape, n, layers)
        if axes is not None:
            weights[n] = _shrunk(weights[n], slopes[n], axes, floor)
    return treedef.unflatten(weights)


def _axes(
    shape: tuple[int, ...], number: int, layers: _matrices.Layers
) -> tuple[int, ...] | None:
    """Over which axes a cosine is taken; None for an array that does not shrink."""
    layout = layers.kernels.get(number)
    if layout is not None and layout.positions:
        return tuple(range(layout.stacked, layout.stacked + layout.positions))
    if layout is not None or number in layers.biases:
        return _matrices.axes_of_unit(shape, number, layers)
    return None


@functools.partial(jax.jit, static_argnums=2)
def _shrunk(
    weight: jax.Array, gradient: jax.Array, axes: tuple[int, ...], floor: ArrayLike
) -> jax.Array:
    wide = _tree.widen(weight)
    ahead = -_isometry.normalized(_tree.widen(gradient), axes)
    here = _isometry.normalized(wide, axes)
    cosine = jnp.real(jnp.sum(ahead * jnp.conj(here), axis=axes, keepdims=True))
    factor = jnp.clip(jnp.where(jnp.isfinite(cosine), cosine, 0), floor, 1)
    return (factor * wide).astype(weight.dtype)
