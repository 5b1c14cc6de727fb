"""From a loss function to gradients with a leading player axis.

Both functions read losses as plain functions of their parameters, so that they work
for any pytree: a linen dictionary, an NNX state, or arrays.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree


def value_and_player_grads(
    loss_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., tuple[Any, Any]]:
    r"""The losses of all players, and the gradient of each.

    .. math:: g_i = \nabla_p \ell_i(p), \qquad i = 1, \dots, P

    From one function of all losses: one forward pass, and one backward pass mapped over
    the players. That is the cheapest where the players share a trunk. What they do not
    share is differentiated for all of them, and a loss that is 0/0 spoils every row.

    From one function for each player: a forward and a backward pass of its own, so that
    players with batches of their own cost no more than their sum, and a loss that is
    not finite spoils its own row only, which aggregators then drop.

    Args:
      loss_fn: a function `loss_fn(params, *args, **kwargs)` that returns the players'
        losses, an array of shape [P], or `(losses, aux)` with `has_aux`; or a sequence
        or dictionary of functions that take these arguments and return the loss of one
        player, a number, or `(loss, aux)`.
      has_aux: whether something is returned besides losses.
      chunk_size: of one function of all losses, how many rows are computed at a time:
        memory for the backward pass of so many players. All of them by default.

    Returns:
      A function of the same arguments that returns `(losses, gradients)`, or
      `((losses, aux), gradients)` with `has_aux`, in the manner of
      `jax.value_and_grad`. The losses have the shape [P], the gradients the structure
      of `params`, with leaves of shape [P, ...]; players are in the order of the
      functions, and their `aux` in a list or dictionary like theirs.

    Raises:
      ValueError: when it is traced, if the losses are not real floats of shape [P], or
        that of one player not one real float.

    Example:
      >>> import jax.numpy as jnp
      >>> targets = jnp.array([1.0, -2.0])
      >>> of_players = value_and_player_grads(lambda p: (p - targets) ** 2)
      >>> losses, gradients = of_players(jnp.array(0.0))
      >>> print(losses, gradients)
      [1. 4.] [-2.  4.]
      >>> terms = {"residual": lambda p: p**2, "boundary": lambda p: 1 - p}
      >>> losses, gradients = value_and_player_grads(terms)(jnp.array(3.0))
      >>> print(losses, gradients)
      [ 9. -2.] [ 6. -1.]
    """
    _checks.check_bool("has_aux", has_aux)
    if chunk_size is not None:
        _checks.check_count("chunk_size", chunk_size, minimum=1)
    if isinstance(loss_fn, Sequence | Mapping):
        return _of_each(loss_fn, has_aux)
    _checks.check_function("loss_fn", loss_fn)

    def value_and_grads(
        params: optax.Params, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        def split(params: optax.Params) -> tuple[Any, Any]:
            out = loss_fn(params, *args, **kwargs)
            return out if has_aux else (out, None)

        losses, pullback, aux = jax.vjp(split, params, has_aux=True)
        _check_losses(losses, "[P]", 1)
        rows = jnp.eye(len(losses), dtype=losses.dtype)
        (gradients,) = _map(pullback, _tree.varying_like(rows, losses), chunk_size)
        return ((losses, aux) if has_aux else losses), gradients

    return value_and_grads


def _of_each(
    loss_fns: Sequence[Any] | Mapping[str, Any], has_aux: bool
) -> Callable[..., tuple[Any, Any]]:
    """Of functions of one loss each: a backward pass of its own for every player."""
    named = isinstance(loss_fns, Mapping)
    functions = list(loss_fns.values() if named else loss_fns)
    if not functions:
        raise ValueError(f"`loss_fn` must have at least one function, got {loss_fns}.")
    for function in functions:
        _checks.check_function("loss_fn", function)

    def value_and_grads(
        params: optax.Params, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        def of_player(function: Callable[..., Any]):
            def split(params: optax.Params) -> tuple[Any, Any]:
                out = function(params, *args, **kwargs)
                loss, aux = out if has_aux else (out, None)
                _check_losses(loss, "[]", 0)
                return loss, aux

            return jax.value_and_grad(split, has_aux=True)(params)

        found = [of_player(function) for function in functions]
        losses = jnp.stack([loss for (loss, _), _ in found])
        gradients = jax.tree.map(
            lambda *x: jnp.stack(x), *[grads for _, grads in found]
        )
        aux = [aux for (_, aux), _ in found]
        aux = dict(zip(loss_fns, aux, strict=True)) if named else aux
        return ((losses, aux) if has_aux else losses), gradients

    return value_and_grads


def _map(function: Callable[..., Any], rows: Any, chunk_size: int | None) -> Any:
    """All rows at once, or some at a time."""
    if chunk_size is None:
        return jax.vmap(function)(rows)
    return jax.lax.map(function, rows, batch_size=chunk_size)


def value_and_example_grads(
    loss_fn: Callable[..., Any],
    *,
    num_players: int | None = None,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., tuple[Any, Any]]:
    r"""The loss and the gradient of every example, or of every group of examples.

    .. math:: g_i = \nabla_p \frac{1}{|B_i|} \sum_{b \in B_i} \ell(p, b)

    where :math:`B_i` is one example, or the :math:`i`-th of `num_players` groups of
    consecutive examples: a micro-batch. The mean of these gradients is the gradient of
    the mean loss. Groups keep `num_players` gradients instead of one per example.

    Args:
      loss_fn: the loss of one example: a function `loss_fn(params, *example)` that
        returns a number, or `(loss, aux)` with `has_aux`. Whatever all examples share,
        such as a random key, goes in by closure.
      num_players: number of groups, a divisor of the batch; by default every example
        is a player.
      has_aux: whether `loss_fn` returns something besides the loss.
      chunk_size: how many players are computed at a time: memory for the activations
        of so many. All of them by default.

    Returns:
      A function `(params, *batch)`, where every leaf of `batch` has a leading example
      axis [B, ...], that returns `(losses, gradients)`, or `((losses, aux), gradients)`
      with `has_aux`. Losses have shape [P], gradients leaves of shape [P, ...], and
      `aux` leaves of shape [B, ...], in the order of the batch.

    Raises:
      ValueError: when it is traced, if the batch has no examples, leaves of different
        lengths or a length that `num_players` does not divide, or if the loss of an
        example is not one real float.

    Example:
      >>> import jax.numpy as jnp
      >>> of_pairs = value_and_example_grads(lambda p, x: (p - x) ** 2, num_players=2)
      >>> losses, gradients = of_pairs(jnp.array(0.0), jnp.array([1.0, 3, -1, -1]))
      >>> print(losses, gradients)
      [5. 1.] [-4.  2.]
    """
    _checks.check_function("loss_fn", loss_fn)
    _checks.check_bool("has_aux", has_aux)
    if num_players is not None:
        _checks.check_count("num_players", num_players, minimum=1)
    if chunk_size is not None:
        _checks.check_count("chunk_size", chunk_size, minimum=1)

    of_player = jax.value_and_grad(_of_group(loss_fn, has_aux), has_aux=True)

    def value_and_grads(params: optax.Params, *batch: Any) -> tuple[Any, Any]:
        size = _batch_size(batch)
        players = size if num_players is None else num_players
        _check_divides(players, size)
        groups = _reshaped(batch, 1, (players, size // players))
        (losses, aux), gradients = _map(
            lambda group: of_player(params, *group), groups, chunk_size
        )
        aux = _reshaped(aux, 2, (size,))
        return ((losses, aux) if has_aux else losses), gradients

    return value_and_grads


def _of_group(loss_fn: Callable[..., Any], has_aux: bool) -> Callable[..., Any]:
    """From the loss of one example to the mean loss of a group, with all their aux."""

    def of_example(params: optax.Params, *example: Any) -> tuple[Any, Any]:
        out = loss_fn(params, *example)
        loss, aux = out if has_aux else (out, None)
        _check_losses(loss, "[]", 0)
        return loss, aux

    def of_group(params: optax.Params, *group: Any) -> tuple[Any, Any]:
        losses, aux = jax.vmap(lambda *example: of_example(params, *example))(*group)
        return jnp.mean(losses), aux

    return of_group


def _reshaped(tree: Any, axes: int, shape: tuple[int, ...]) -> Any:
    """The first `axes` axes of every leaf in another `shape`."""
    return jax.tree.map(lambda x: jnp.reshape(x, (*shape, *jnp.shape(x)[axes:])), tree)


def _check_losses(losses: Any, shape: str, rank: int) -> None:
    if not hasattr(losses, "shape"):
        got = f"a {type(losses).__name__}"
    elif losses.ndim == rank and jnp.issubdtype(losses.dtype, jnp.floating):
        return
    else:
        got = f"{losses.dtype} of shape {losses.shape}"
    raise ValueError(f"`loss_fn` must return real floats of shape {shape}, got {got}.")


def _batch_size(batch: tuple[Any, ...]) -> int:
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(batch)]
    sizes = {shape[:1] for shape in shapes}
    if len(sizes) != 1 or sizes & {(), (0,)}:
        raise ValueError(
            "`batch` must have a leading example axis of one size on every leaf, got "
            f"shapes {', '.join(map(str, shapes)) or 'of no leaf'}."
        )
    return shapes[0][0]


def _check_divides(num_players: int, size: int) -> None:
    if size % num_players:
        raise ValueError(
            f"`num_players` must divide the batch of {size} examples, got "
            f"{num_players}."
        )
