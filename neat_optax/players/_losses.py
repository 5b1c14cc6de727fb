"""What a loss function of several players may be, and what it may return."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from neat_optax import _checks


def check_loss_fn(loss_fn: Any, name: str = "loss_fn") -> None:
    """Raises unless losses come from one function, or from some, one for each."""
    if not isinstance(loss_fn, Sequence | Mapping):
        _checks.check_function(name, loss_fn)
        return
    if not loss_fn:
        raise ValueError(f"`{name}` must have at least one function, got {loss_fn}.")
    for function in values(loss_fn):
        _checks.check_function(name, function)


def values(several: Any) -> list[Any]:
    """What is in a sequence, or in a dictionary by its sorted keys.

    Every tree map, `jit` and `vmap` of JAX returns a dictionary in this order.
    """
    if isinstance(several, Mapping):
        return [several[name] for name in sorted(several)]
    return list(several)


def like(several: Any, parts: list[Any]) -> Any:
    """A list, or a dictionary with the names of another."""
    if isinstance(several, Mapping):
        return dict(zip(sorted(several), parts, strict=True))
    return parts


def call(loss_fn: Any, has_aux: bool, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The losses, an array [P] or a tuple of `P` numbers, and what is beside them."""
    if isinstance(loss_fn, Sequence | Mapping):
        found = [call_one(fn, has_aux, *args, **kwargs) for fn in values(loss_fn)]
        return tuple(loss for loss, _ in found), like(
            loss_fn, [aux for _, aux in found]
        )
    out = loss_fn(*args, **kwargs)
    losses, aux = out if has_aux else (out, None)
    if not isinstance(losses, Sequence | Mapping):
        _check_losses(losses, "[P]", 1)
        return losses, aux
    if not losses:
        raise ValueError(f"`loss_fn` must return at least one loss, got {losses}.")
    for loss in values(losses):
        _check_losses(loss, "[]", 0)
    return tuple(values(losses)), aux


def call_one(loss_fn: Any, has_aux: bool, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The loss of one player or example, and what is beside it."""
    out = loss_fn(*args, **kwargs)
    loss, aux = out if has_aux else (out, None)
    _check_losses(loss, "[]", 0)
    return loss, aux


def stacked(losses: Any) -> Any:
    """Losses as an array [P]."""
    return jnp.stack(losses) if isinstance(losses, tuple) else losses


def _check_losses(losses: Any, shape: str, rank: int) -> None:
    if not hasattr(losses, "shape"):
        nested = isinstance(losses, Sequence | Mapping)
        hint = "; with `(losses, aux)` pass has_aux=True" if nested else ""
        got = f"a {type(losses).__name__}{hint}"
    elif losses.ndim == rank and jnp.issubdtype(losses.dtype, jnp.floating):
        return
    else:
        got = f"{losses.dtype} of shape {losses.shape}"
    raise ValueError(f"`loss_fn` must return real floats of shape {shape}, got {got}.")
