"""A game at one point: its simultaneous gradient, and products with its Jacobian."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax.games import _players
from neat_optax.players import _losses


class Products(NamedTuple):
    """Products of a matrix over all players with trees like the players."""

    jvp: Callable[[Any], Any]
    """From a tree :math:`v` to :math:`M v`, in float32 or wider."""
    vjp: Callable[[Any], Any]
    r"""From a tree :math:`v` to :math:`M^\top v`, in float32 or wider."""


class Game(NamedTuple):
    r"""A game of :math:`n` players at one point, which adjustments are functions of.

    Of players :math:`\theta_i` with losses :math:`L_i(\theta_1, \dots, \theta_n)`:

    .. math::

        \xi = (\nabla_{\theta_1} L_1, \dots, \nabla_{\theta_n} L_n), \qquad
        H_{ij} = \nabla_{\theta_j} \xi_i

    The products are computed where they are asked for, inside of the same `jit`.
    """

    players: Any
    """What each player may change, in the container of the players."""
    losses: jax.Array
    """[n]."""
    grads: Any
    r"""The simultaneous gradient :math:`\xi`: a tree like `players`."""
    aux: Any
    """What the losses return besides, or None."""
    loss_grads: Callable[[int], Any]
    """The gradient of one player's loss by the parameters of all players."""
    jacobian: Callable[[], Products]
    r"""Products with :math:`H`."""
    mixed: Callable[[Callable[[int, Callable[[int, Any], jax.Array]], Any]], Any]
    r"""From a function `scalar(i, slope)` to its gradients: for every player :math:`i`
    the one by :math:`\theta_i`. `slope(j, v)` is the derivative of all losses, [n], as
    another player :math:`j` moves along :math:`v`, at any :math:`\theta_i`. So the
    gradient of `slope(j, v)[k]` is :math:`\nabla_{\theta_i \theta_j} L_k\, v`, and a
    sum of them costs one backward pass. JAX refuses losses with a `jax.custom_vjp`."""
    off_diagonal: Callable[[], Products]
    """Products with :math:`H_o`: the Jacobian without its blocks on the diagonal, which
    are the players' own Hessians."""


def linearize(
    loss_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    *,
    has_aux: bool = False,
) -> Callable[..., Game]:
    """A game at a point, for exact products with its Jacobian.

    Args:
      loss_fn: the losses of all players, as in `value_and_grad`.
      has_aux: whether something is returned besides losses.

    Returns:
      A function of `(players, *args, **kwargs)` that returns a `Game`. Call it under
      `jit`: what gradients and products have in common is then computed once.

    Raises:
      ValueError: when it is traced, as that of `value_and_grad`.

    Example:
      >>> import jax.numpy as jnp
      >>> at = linearize(lambda z: [z[0] * z[1], -z[0] * z[1]])
      >>> game = at([jnp.array(1.0), jnp.array(2.0)])
      >>> print(*game.grads, *game.jacobian().jvp([jnp.array(1.0), jnp.array(0.0)]))
      2.0 -1.0 0.0 -1.0
    """
    _checks.check_bool("has_aux", has_aux)
    _losses.check_loss_fn(loss_fn)

    def at(players: Any, *args: Any, **kwargs: Any) -> Game:
        seats = _players.seated(loss_fn, has_aux, players, args, kwargs)
        count = len(seats.params)
        found = [_own_gradient(seats, i)(seats.params) for i in range(count)]
        losses, (aux, rest) = found[0][1]
        seats.keep(rest)

        def loss_grads(player: int) -> Any:
            of_all = jax.grad(lambda params: seats.evaluate(params)[0][player])
            return seats.together(of_all(seats.params))

        everyone = [list(range(count))] * count
        others = [[j for j in range(count) if j != i] for i in range(count)]
        return Game(
            seats.together(seats.params),
            jnp.stack(losses),
            seats.together([gradient for gradient, _ in found]),
            aux,
            loss_grads,
            lambda: _products(seats, everyone),
            lambda scalar: seats.together(_mixed(seats, scalar)),
            lambda: _products(seats, others),
        )

    return at


def _own_gradient(seats: _players.Seats, player: int) -> Callable[[list[Any]], Any]:
    """The gradient of a player's loss by its own parameters, with all that is found."""

    def gradient(params: list[Any]) -> Any:
        def loss(own: Any) -> Any:
            found = seats.evaluate(_with(params, [player], [own]))
            return found[0][player], found

        return jax.grad(loss, has_aux=True)(params[player])

    return gradient


def _products(seats: _players.Seats, by: list[list[int]]) -> Products:
    """Of the gradient of each player by the parameters of some."""
    linear = [_linear(seats, i, columns) for i, columns in enumerate(by)]

    def jvp(tangents: Any) -> Any:
        parts = _cast(seats.apart(tangents), seats.params)
        rows = [
            part(*[parts[j] for j in columns])
            if columns
            else optax.tree.zeros_like(own)
            for part, columns, own in zip(linear, by, parts, strict=True)
        ]
        return seats.together(widened(rows))

    def vjp(cotangents: Any) -> Any:
        parts = _cast(seats.apart(cotangents), seats.params)
        sums = widened(optax.tree.zeros_like(seats.params))
        for part, columns, own in zip(linear, by, parts, strict=True):
            if columns:
                wanted = [seats.params[j] for j in columns]
                found = jax.linear_transpose(part, *wanted)(own)
                for j, one in zip(columns, found, strict=True):
                    sums[j] = optax.tree.add(sums[j], widened(one))
        return seats.together(sums)

    return Products(jvp, vjp)


def _linear(seats: _players.Seats, player: int, columns: list[int]) -> Any:
    """The derivative of a player's own gradient by the parameters of some players."""

    def gradient(*parts: Any) -> Any:
        return _own_gradient(seats, player)(_with(seats.params, columns, parts))[0]

    return jax.linearize(gradient, *[seats.params[j] for j in columns])[1]


def _mixed(seats: _players.Seats, scalar: Callable[[int, Any], Any]) -> list[Any]:
    """Of directional derivatives by others, the gradients by each player's own."""

    def of_player(i: int) -> Any:
        def of_own(own: Any) -> Any:
            params = _with(seats.params, [i], [own])

            def slope(j: int, direction: Any) -> jax.Array:
                def losses(other: Any) -> jax.Array:
                    return jnp.stack(seats.evaluate(_with(params, [j], [other]))[0])

                along = _cast(direction, params[j])
                return jax.jvp(losses, (params[j],), (along,))[1]

            return jnp.asarray(scalar(i, slope), jnp.float32)

        return widened(jax.grad(of_own)(seats.params[i]))

    return [of_player(i) for i in range(len(seats.params))]


def _with(params: list[Any], places: list[int], parts: Sequence[Any]) -> list[Any]:
    """A list with others in some places."""
    new = dict(zip(places, parts, strict=True))
    return [new.get(i, old) for i, old in enumerate(params)]


def widened(tree: Any) -> Any:
    """Every array in float32 or wider."""
    return jax.tree.map(_tree.widen, tree)


def inner(a: Any, b: Any) -> jax.Array:
    """The inner product of two trees of one structure."""
    products = jax.tree.leaves(jax.tree.map(_tree.inner, a, b))
    return jnp.sum(jnp.stack(products))


def one_each(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """What belongs to each player, and how to put such things together again."""
    parts, structure = jax.tree.flatten(tree, lambda node: node is not tree)
    return parts, structure.unflatten


def _cast(tree: Any, like: Any) -> Any:
    return jax.tree.map(lambda x, old: jnp.asarray(x, old.dtype), tree, like)
