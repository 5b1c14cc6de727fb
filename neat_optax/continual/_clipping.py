"""Weight clipping: parameters stay within the range of their initializer."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask, chosen, shortened
from neat_optax._schedules import value_at
from neat_optax.continual import _matrices


@cites("elsayed2024weight")
def weight_clipping(
    kappa: optax.ScalarOrSchedule = 1.0,
    *,
    bound: Callable[[int], float] | None = None,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Clips the new weights to a multiple of the range that they were drawn from.

    .. math:: z = w + u, \qquad w + u \leftarrow
        \operatorname{clip}(z, -\kappa b, \kappa b), \qquad b = 1 / \sqrt{\text{fan in}}

    It is of kernels and of the biases beside them, which have the bound of their
    kernel. Embeddings, scales of normalization layers and arrays whose kernel is not
    known stay as they are; the authors' code clips scales to the bound of the layer
    before.

    Args:
      kappa: :math:`\kappa` at least 0, or a schedule.
      bound: a function from the fan in, an integer, to :math:`b`. By default the one of
        the authors, that of PyTorch's initializer. Flax's `lecun_normal` draws from
        within :math:`2.27 / \sqrt{\text{fan in}}`, which `kappa=2.27` stands for. Under
        `optax.inject_hyperparams` it belongs in `static_args`.
      mask: which parameters are clipped, as in `l2_to_init`.

    Returns:
      A transformation that needs `params` and goes last in a chain. A complex number is
      shortened to the bound.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = weight_clipping(1.0)
      >>> w = {"kernel": jnp.full((4, 1), 0.4), "bias": jnp.array([0.5])}
      >>> step = {"kernel": jnp.full((4, 1), 0.3), "bias": jnp.array([-2.0])}
      >>> u, _ = tx.update(step, tx.init(w), w)
      >>> new = optax.apply_updates(w, u)
      >>> new["kernel"][0].tolist(), new["bias"].tolist()
      ([0.5], [-0.5])

    References:
      Elsayed, Lan, Lyle and Mahmood, "Weight Clipping for Deep Continual and
      Reinforcement Learning", 2024, algorithm 1.
    """
    _checks.check_number("kappa", kappa, "[0, inf)")
    if bound is not None:
        _checks.check_function("bound", bound)
    bound = _uniform_bound if bound is None else bound

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
        _checks.check_update(updates, params, "weight_clipping")
        factor = value_at(kappa, state.count)
        weights, treedef = jax.tree.flatten(params)
        moves = treedef.flatten_up_to(updates)
        bounds = _bounds(params, bound)
        for n in chosen(params, mask):
            if n in bounds:
                moves[n] = _clipped(moves[n], weights[n], factor * bounds[n])
        count = _tree.increment(state.count)
        return treedef.unflatten(moves), optax.ScaleByScheduleState(count)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _uniform_bound(fan_in: int) -> float:
    """The largest weight that PyTorch's Linear and Conv layers start with."""
    return 1 / math.sqrt(fan_in) if fan_in else math.inf


def _bounds(params: optax.Params, bound: Callable[[int], float]) -> dict[int, float]:
    """The bound of each kernel and of each bias beside one, by number."""
    layers, leaves = _matrices.find_layers(params), jax.tree.leaves(params)
    found = {
        n: bound(_matrices.fan_in(leaves[n].shape, layout))
        for n, layout in layers.kernels.items()
    }
    return found | {bias: found[kernel] for bias, kernel in layers.biases.items()}


def _clipped(update: jax.Array, weight: jax.Array, limit: Any) -> jax.Array:
    """The update to the clipped weight; as it is where nothing is to be clipped."""
    dtype = jnp.result_type(update, weight)  # in which the way to the bound is exact
    moved = _tree.widen(weight) + _tree.widen(update)
    size = jnp.abs(moved)
    if jnp.iscomplexobj(moved):
        new = moved * shortened(size, jnp.asarray(limit, size.dtype))
    else:
        new = jnp.clip(moved, -limit, limit)
    way = new - _tree.widen(weight)
    return jnp.where(size > limit, way, _tree.widen(update)).astype(dtype)
