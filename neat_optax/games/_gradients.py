"""The simultaneous gradient of a game, plain or adjusted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from neat_optax import _checks
from neat_optax.games._game import Game, linearize


def value_and_grad(
    loss_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    adjust: Callable[[Game], Any] | None = None,
    *,
    has_aux: bool = False,
) -> Callable[..., tuple[Any, Any]]:
    r"""The losses of all players, and the simultaneous gradient of the game.

    .. math:: \xi(\theta) = (\nabla_{\theta_1} L_1, \dots, \nabla_{\theta_n} L_n)

    Each player has parameters of its own, and a loss that depends on those of all.
    Where `value_and_player_grads` has the gradients of several losses by the same
    parameters, this has of every loss the gradient by its own player's parameters.
    All are taken at the same point: nobody moves first.

    Args:
      loss_fn: a function `loss_fn(players, *args, **kwargs)` that returns the losses of
        all players, an array of shape [n], or a list or dictionary of numbers; or a
        list or dictionary of functions of the same arguments, each of which returns the
        loss of one player, a number, or `(loss, aux)`. Every player minimizes its own.
      adjust: what becomes of the simultaneous gradient, such as `sga()` or any function
        from a `Game` to a tree like the players; it stays as it is by default.
      has_aux: whether something is returned besides losses.

    Returns:
      A function of the same arguments that returns `(losses, gradients)`, or
      `((losses, aux), gradients)` with `has_aux`. The losses have shape [n], in the
      order of the list or of the dictionary's sorted names. `players` is a list, tuple
      or dictionary with any real pytree for each player, or an `nnx.Module`; the
      gradients are in a container like it, each with the structure and the dtypes of
      its player, an `nnx.State` of its `nnx.Param` for a module. What losses change of
      modules, such as statistics of batches, is kept in the caller's.

    Raises:
      ValueError: when it is traced, if `players` is no such container, a leaf is not
        real and floating, the losses are not one real float for each player, or
        `adjust` returns something else than a tree like the players.

    Example:
      >>> import jax.numpy as jnp
      >>> def losses(players):
      ...     x, y = players["x"], players["y"]
      ...     return {"x": x * y, "y": -x * y}
      >>> players = {"x": jnp.array(1.0), "y": jnp.array(2.0)}
      >>> values, grads = value_and_grad(losses)(players)
      >>> print(values, grads["x"], grads["y"])
      [ 2. -2.] 2.0 -1.0
    """
    if adjust is not None:
        _checks.check_function("adjust", adjust)
    at = linearize(loss_fn, has_aux=has_aux)

    def value_and_grads(players: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        game = at(players, *args, **kwargs)
        gradients = game.grads if adjust is None else _adjusted(adjust, game)
        return ((game.losses, game.aux) if has_aux else game.losses), gradients

    return value_and_grads


def _adjusted(adjust: Callable[[Game], Any], game: Game) -> Any:
    """What an adjustment returns, in the dtypes of the gradients."""
    found = adjust(game)
    _checks.check_same_structure("result of adjust", found, "players", game.grads)
    return jax.tree.map(lambda x, old: x.astype(old.dtype), found, game.grads)
