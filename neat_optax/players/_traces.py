"""Traces of the neural tangent kernels of residuals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax.players import _losses
from neat_optax.players._examples import value_and_example_grads
from neat_optax.players._norms import example_norms


def ntk_traces(
    residual_fns: Sequence[Callable[..., Any]] | Mapping[str, Callable[..., Any]],
    *,
    mean: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., jax.Array]:
    r"""The traces of the neural tangent kernels of residuals, for `aggregators.ntk`.

    .. math:: t_i = \operatorname{tr} K_i = \sum_b |\nabla_p r_i(p, x_b)|^2

    The kernels are not formed. Of layers whose gradients are sums of few outer
    products, neither are the gradients of the residuals.

    Args:
      residual_fns: a sequence or dictionary of functions `residual(params, *point)`
        that return one number: the residual of a player at one point.
      mean: whether to divide each trace by the number of points.
      chunk_size: how many points are differentiated at a time; all by default.

    Returns:
      A function `(params, batches)`, where `batches` holds for each residual, in the
      same order or by the same name, a tuple of arrays with a leading axis of points.
      It returns the traces [P], in the order of `value_and_player_grads`: that of the
      sequence, or of the dictionary's sorted keys.

    Raises:
      ValueError: if there is not one batch for each residual, and at trace time as
        `value_and_example_grads` does.

    Example:
      >>> import jax.numpy as jnp
      >>> traces = ntk_traces([lambda p, x: p * x, lambda p, x, y: x - p * y])
      >>> x = jnp.array([1.0, 2.0])
      >>> print(traces(jnp.array(0.5), [(x,), (x, 3 * x)]))
      [ 5. 45.]

    References:
      Wang, Yu and Perdikaris, "When and Why PINNs Fail to Train: A Neural Tangent
      Kernel Perspective", 2022, Algorithm 1.
    """
    if not isinstance(residual_fns, Sequence | Mapping):
        raise ValueError(
            "`residual_fns` must be a sequence or dictionary of functions, got "
            f"{type(residual_fns).__name__}."
        )
    _losses.check_loss_fn(residual_fns, "residual_fns")
    _checks.check_bool("mean", mean)
    of_each = [
        value_and_example_grads(function, chunk_size=chunk_size, factored=True)
        for function in _losses.values(residual_fns)
    ]

    def traces(params: optax.Params, batches: Any) -> jax.Array:
        _check_batches(batches, residual_fns)
        found: list[jax.Array] = []
        for grads, batch in zip(of_each, _losses.values(batches), strict=True):
            norms = example_norms(grads(params, *batch)[1])
            found.append((jnp.mean if mean else jnp.sum)(norms**2))
        return jnp.stack(found)

    return traces


def _check_batches(batches: Any, residual_fns: Any) -> None:
    """Raises unless there is one for each residual, in the same kind of container."""
    found = type(batches).__name__
    if isinstance(residual_fns, Mapping):
        wanted = ", ".join(sorted(residual_fns))
        if isinstance(batches, Mapping):
            found = ", ".join(sorted(batches))
    else:
        wanted = str(len(residual_fns))
        if isinstance(batches, Sequence):
            found = str(len(batches))
    if found != wanted:
        raise ValueError(
            f"`batches` must hold one batch for each residual ({wanted}), got {found}."
        )
