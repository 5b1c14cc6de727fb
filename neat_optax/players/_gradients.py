"""From losses of several players to gradients with a leading player axis."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax.players import _losses, _modules


def value_and_player_grads(
    loss_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., tuple[Any, Any]]:
    r"""The losses of all players, and the gradient of each.

    .. math:: g_i = \nabla_p \ell_i(p), \qquad i = 1, \dots, P

    Three forms of a loss function differ in how far players are kept apart:

    - It returns an array [P]: one forward pass, and one backward pass mapped over the
      players, the cheapest where they share a trunk. What they do not share is
      differentiated for all of them. The backward pass of each multiplies what
      belongs to the others by zero: one loss of 0/0 makes every row NaN.
    - It returns a list or dictionary of losses: one forward pass, and a backward pass
      for each through what its loss depends on. A loss that is not finite spoils its
      own row only, which aggregators then drop.
    - There is one function for each player: a forward and a backward pass of its own,
      so that players with batches of their own cost no more than their sum. A loss that
      is not finite spoils its own row only.

    Args:
      loss_fn: a function `loss_fn(params, *args, **kwargs)` that returns the players'
        losses, an array of shape [P], or a list or dictionary of numbers, or
        `(losses, aux)` with `has_aux`; or a sequence or dictionary of functions that
        take these arguments and return the loss of one player, a number, or
        `(loss, aux)`.
      has_aux: whether something is returned besides losses.
      chunk_size: of losses in an array, how many rows are computed at a time: memory
        for the backward pass of so many players. All of them by default.

    Returns:
      A function of the same arguments that returns `(losses, gradients)`, or
      `((losses, aux), gradients)` with `has_aux`, in the manner of
      `jax.value_and_grad`. The losses have the shape [P], the gradients the structure
      of `params`, with leaves of shape [P, ...]; players are in the order of the array
      or list, or of the dictionary's sorted keys, as in all trees of JAX. The `aux` of
      several functions are in a list or dictionary like theirs.

      `params` is any pytree, or an `nnx.Module`, to be called in training mode too.
      Then the gradients are an `nnx.State` of its `nnx.Param`, as `nnx.grad` returns
      and `nnx.Optimizer.update` takes; everything else in the module is carried and
      never differentiated, and what the loss changes of it, statistics of batches and
      counters of random numbers, is changed in the caller's module, once for each
      forward pass.

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
      [-2.  9.] [-1.  6.]
    """
    _checks.check_bool("has_aux", has_aux)
    if chunk_size is not None:
        _checks.check_count("chunk_size", chunk_size, minimum=1)
    _losses.check_loss_fn(loss_fn)
    if isinstance(loss_fn, Sequence | Mapping):
        return _of_functions(loss_fn, has_aux)

    def value_and_grads(
        params: optax.Params, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        given = _modules.opened(params)

        def split(weights: Any) -> tuple[Any, Any]:
            point = given.merge(weights, given.keys, given.rest)
            losses, aux = _losses.call(loss_fn, has_aux, point, *args, **kwargs)
            return losses, (aux, given.carried(point))

        found = jax.linearize(split, given.params, has_aux=True)
        losses, linear, (aux, rest) = found
        given.keep(rest)
        if isinstance(losses, tuple):
            losses = tuple(map(jnp.asarray, losses))
            gradients = _of_numbers(linear, losses, given.params)
            losses = jnp.stack(losses)
        else:
            gradients = _of_array(linear, losses, given.params, chunk_size)
        return ((losses, aux) if has_aux else losses), gradients

    return value_and_grads


def _of_array(
    linear: Callable[..., Any], losses: jax.Array, params: Any, chunk_size: int | None
) -> Any:
    """Of losses in an array: a backward pass that is mapped over the players."""
    pullback = jax.linear_transpose(linear, params)
    rows = jnp.eye(len(losses), dtype=losses.dtype)
    (gradients,) = map_rows(pullback, _tree.varying_like(rows, losses), chunk_size)
    return gradients


def _of_numbers(
    linear: Callable[..., Any], losses: tuple[jax.Array, ...], params: Any
) -> Any:
    """Of losses that are numbers: a backward pass for each, through its own part."""
    rows = []
    for number, loss in enumerate(losses):
        of_player = functools.partial(lambda i, tangent: linear(tangent)[i], number)
        pullback = jax.linear_transpose(of_player, params)
        rows += pullback(_tree.varying_like(jnp.ones((), loss.dtype), loss))
    return jax.tree.map(lambda *x: jnp.stack(x), *rows)


def _of_functions(
    loss_fns: Sequence[Any] | Mapping[str, Any], has_aux: bool
) -> Callable[..., tuple[Any, Any]]:
    """Of functions of one loss each: both passes of its own for every player."""

    def value_and_grads(
        params: optax.Params, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        given = _modules.opened(params)
        rest, found, rows = given.rest, [], []
        for function in _losses.values(loss_fns):

            def split(weights: Any, rest: Any, function: Any = function) -> Any:
                point = given.merge(weights, given.keys, rest)
                loss, aux = _losses.call_one(function, has_aux, point, *args, **kwargs)
                return loss, (aux, given.carried(point))

            of_player = jax.value_and_grad(split, has_aux=True)
            (loss, (aux, rest)), gradients = of_player(given.params, rest)
            found.append((loss, aux))
            rows.append(gradients)
        given.keep(rest)
        losses = jnp.stack([loss for loss, _ in found])
        aux = _losses.like(loss_fns, [aux for _, aux in found])
        gradients = jax.tree.map(lambda *x: jnp.stack(x), *rows)
        return ((losses, aux) if has_aux else losses), gradients

    return value_and_grads


def map_rows(function: Callable[..., Any], rows: Any, chunk_size: int | None) -> Any:
    """All rows at once, or some at a time."""
    if chunk_size is None:
        return jax.vmap(function)(rows)
    return jax.lax.map(function, rows, batch_size=chunk_size)
