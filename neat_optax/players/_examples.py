"""From the loss of one example to gradients with a leading player axis."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._sites import LeafCost, value_and_factored_grads
from neat_optax.players import _losses, _modules
from neat_optax.players._gradients import map_rows


def value_and_example_grads(
    loss_fn: Callable[..., Any],
    *,
    num_players: int | None = None,
    has_aux: bool = False,
    chunk_size: int | None = None,
    factored: bool | Callable[[LeafCost], bool] = False,
) -> Callable[..., tuple[Any, Any]]:
    r"""The loss and the gradient of every example, or of every group of examples.

    .. math:: g_i = \nabla_p \frac{1}{|B_i|} \sum_{b \in B_i} \ell(p, b)

    where :math:`B_i` is one example, or the :math:`i`-th of `num_players` groups of
    consecutive examples: a micro-batch. The mean of these gradients is the gradient of
    the mean loss. Groups keep `num_players` gradients instead of one per example.

    Args:
      loss_fn: the loss of one example: a function `loss_fn(params, *example)` that
        returns a number, or `(loss, aux)` with `has_aux`. Whatever all examples share,
        such as a random key, goes in by closure. An `nnx.Module` as `params` draws
        other random numbers for each example.
      num_players: number of groups, a divisor of the batch; by default every example
        is a player.
      has_aux: whether `loss_fn` returns something besides the loss.
      chunk_size: how many players are computed at a time: memory for the activations
        of so many. All of them by default.
      factored: whether a leaf may stay a sum of outer products, of what went into a
        layer and what came back to it, where that takes less arithmetic than the
        gradients themselves. Aggregators and `player_contest` take inner products,
        norms and weighted sums from the factors; this library's other transformations
        of players form the gradients first. Nothing else may stand in between. A
        function of a row of `explain` decides for each leaf that can be factored.

    Returns:
      A function `(params, *batch)`, where every leaf of `batch` has a leading example
      axis [B, ...], that returns `(losses, gradients)`, or `((losses, aux), gradients)`
      with `has_aux`. Losses have shape [P], gradients leaves of shape [P, ...], and
      `aux` leaves of shape [B, ...], in the order of the batch. Of an `nnx.Module` the
      gradients are an `nnx.State`, as in `value_and_player_grads`.

    Raises:
      ValueError: when it is traced, if the batch has no examples, leaves of different
        lengths or a length that `num_players` does not divide, if the loss of an
        example is not one real float, or if it changes the statistics of a module:
        layers that mix examples, like batch normalization in training mode, have no
        gradient of one example.

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
    if not callable(factored):
        _checks.check_bool("factored", factored)

    def value_and_grads(params: optax.Params, *batch: Any) -> tuple[Any, Any]:
        players = opened_players(loss_fn, has_aux, num_players, params, batch)
        if factored:
            choice = {"choose": factored} if callable(factored) else {}
            found = value_and_factored_grads(
                players.loss,
                players.params,
                players.rows,
                chunk_size=chunk_size,
                **choice,
            )
        else:
            of_player = jax.value_and_grad(players.loss, has_aux=True)
            found = map_rows(
                lambda group: of_player(players.params, *group),
                players.rows,
                chunk_size,
            )
        (losses, (aux, rest)), gradients = found
        players.keep(jax.tree.map(lambda x: x[0], rest))
        aux = _reshaped(aux, 2, (-1,))
        return ((losses, aux) if has_aux else losses), gradients

    return value_and_grads


class Players(NamedTuple):
    """Groups of examples, and the loss of one of them."""

    loss: Callable[..., Any]  # loss(params, *row), with aux
    params: Any
    rows: tuple[Any, Any]  # random keys and examples [P, ...]
    keep: Callable[[Any], None]  # of what a module carries


def opened_players(
    loss_fn: Callable[..., Any],
    has_aux: bool,
    num_players: int | None,
    params: Any,
    batch: tuple[Any, ...],
) -> Players:
    """The players of a batch."""
    given = _modules.opened(params)
    size = _batch_size(batch)
    count = size if num_players is None else num_players
    _check_divides(count, size)
    shape = count, size // count
    keys = _reshaped(_modules.split_keys(given.keys, size), 1, shape)
    groups = _reshaped(batch, 1, shape)

    def of_example(weights: Any, keys: Any, example: tuple[Any, ...]) -> Any:
        point = given.merge(weights, keys, given.rest)
        loss, aux = _losses.call_one(loss_fn, has_aux, point, *example)
        rest = given.carried(point)
        _modules.check_untouched(given.rest, rest)
        return loss, (aux, rest)

    def of_group(weights: Any, *group: Any) -> tuple[Any, Any]:
        of_examples = jax.vmap(of_example, (None, 0, 0), (0, (0, None)))
        losses, others = of_examples(weights, *group)
        return jnp.mean(losses), others

    return Players(of_group, given.params, (keys, groups), given.keep)


def _reshaped(tree: Any, axes: int, shape: tuple[int, ...]) -> Any:
    """The first `axes` axes of every leaf in another `shape`."""
    return jax.tree.map(lambda x: jnp.reshape(x, (*shape, *jnp.shape(x)[axes:])), tree)


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
