"""Shared trunk and task-specific heads: only shared parameters need aggregation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import optax

from neat_optax import _checks, _factored, _tree, aggregators
from neat_optax.players import _losses, _modules
from neat_optax.players._dependence import dependence


def param_players(
    loss_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    params: Any,
    *args: Any,
    has_aux: bool = False,
) -> Any:
    """Which players' losses depend on each parameter.

    Decided from the operations of `loss_fn`, not from values: a gradient that happens
    to be zero changes nothing. Products, sorts, slices, loops over an axis and the like
    are followed element by element, and so are indices that are numbers of the program:
    `losses.at[2].set(loss)`, or a fancy index by a NumPy array. An index that comes
    from an argument, or from a `jax.Array` of outside, may mean any element. Of an
    operation that is not followed, like a Fourier transform or a factorization, each
    result counts as depending on all that goes in, and where that joins players a
    warning names it. A head inside one array with the other heads counts for all
    players.

    Args:
      loss_fn: as in `value_and_player_grads`.
      params: the parameters, arrays or `jax.ShapeDtypeStruct`, or an `nnx.Module`.
      *args: the other arguments of `loss_fn`, arrays or `jax.ShapeDtypeStruct` too.
      has_aux: whether `loss_fn` returns something besides the losses.

    Returns:
      A tree with the structure of `params`, and an array [P] of bool at each leaf. Of
      an `nnx.Module`, that of its `nnx.Param` as an `nnx.Optimizer` sees them.

    Raises:
      ValueError: if the losses are not real floats of shape [P], or numbers.
      UserWarning: if players are joined by an operation that is not followed.

    Example:
      >>> import jax.numpy as jnp
      >>> def losses(p):
      ...     return jnp.stack([p["trunk"] * p["one"], p["trunk"] + p["two"]])
      >>> players = param_players(losses, {"trunk": 1.0, "one": 0.0, "two": 1.0})
      >>> players["trunk"].tolist(), players["one"].tolist()
      ([True, True], [True, False])
    """
    _losses.check_loss_fn(loss_fn)
    given = _modules.opened(params)

    def only_losses(weights: Any, keys: Any, rest: Any, *args: Any) -> jax.Array:
        point = given.merge(weights, keys, rest)
        return _losses.stacked(_losses.call(loss_fn, has_aux, point, *args)[0])

    found = dependence(only_losses, given.params, given.keys, given.rest, *args)
    structure = jax.tree.structure(_modules.pure(given.params))
    return jax.tree.unflatten(structure, list(found.T))


def shared_params(
    loss_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    params: Any,
    *args: Any,
    has_aux: bool = False,
) -> Any:
    """Which parameters more than one player's loss depends on.

    Found as in `param_players`. Where an operation is not followed element by element,
    more is called shared, and aggregated, than must be, never less; a warning names it.

    Args:
      loss_fn: as in `value_and_player_grads`.
      params: the parameters, arrays or `jax.ShapeDtypeStruct`, or an `nnx.Module`.
      *args: the other arguments of `loss_fn`, arrays or `jax.ShapeDtypeStruct` too.
      has_aux: whether `loss_fn` returns something besides the losses.

    Returns:
      A tree with the structure of `params`, and True at each leaf that is shared. Of an
      `nnx.Module`, that of its `nnx.Param` as an `nnx.Optimizer` sees them.

    Raises:
      ValueError: if the losses are not real floats of shape [P], or numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> def losses(p):
      ...     return jnp.stack([p["trunk"] * p["one"], p["trunk"] + p["two"]])
      >>> shared_params(losses, {"trunk": 1.0, "one": 0.0, "two": 1.0})
      {'one': False, 'trunk': True, 'two': False}
    """
    players = param_players(loss_fn, params, *args, has_aux=has_aux)
    return jax.tree.map(lambda one: bool(one.sum() > 1), players)


def aggregate_shared(
    aggregator: optax.GradientTransformation,
    shared: Any,
    *,
    rest: optax.GradientTransformation | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Aggregates what the players share, and sums over the players elsewhere.

    .. math:: u_k = A(g_1, \dots, g_P)_k \text{ if } k \text{ is shared}, \qquad
        u_k = \sum_i g_{ik} \text{ otherwise}

    A head has the gradient of one player and zeros of the others, so that its sum is
    its gradient. The aggregator sees the shared leaves only: conflict, norms and
    weights are those of the trunk.

    Args:
      aggregator: from gradients with a leading player axis to one update.
      shared: True or False for each parameter, as `shared_params` returns, or for
        whole branches: a tree with the structure of the parameters, or a prefix of it.
      rest: the aggregator of what is not shared; by default
        `aggregators.sum()`.

    Returns:
      An aggregator of all parameters, which passes extra arguments to both; an extra
      argument with the structure of the parameters is divided like them.

    Raises:
      ValueError: if `shared` holds anything but True and False; when it is traced, if
        it does not have the structure of the parameters.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> def mean(updates, params):
      ...     return jax.tree.map(lambda g: g.mean(axis=0), updates)
      >>> tx = aggregate_shared(optax.stateless(mean), {"head": False, "trunk": True})
      >>> p = {"head": jnp.array(0.0), "trunk": jnp.array(0.0)}
      >>> g = {"head": jnp.array([4.0, 0.0]), "trunk": jnp.array([4.0, 2.0])}
      >>> u, _ = tx.update(g, tx.init(p), p)
      >>> print(u["head"], u["trunk"])
      4.0 3.0
    """
    for flag in jax.tree.leaves(shared):
        _checks.check_bool("shared", flag)

    def labels(tree: Any) -> Any:
        treedef = jax.tree.structure(tree)
        if treedef.num_leaves and not _tree.is_prefix(shared, tree):
            raise ValueError(
                f"`shared` must have the tree structure of the parameters, {treedef}, "
                f"got {jax.tree.structure(shared)}."
            )
        return treedef.unflatten(_tree.spread(shared, tree))

    divided = optax.partition(
        {True: aggregator, False: aggregators.sum() if rest is None else rest},
        labels,
        mask_compatible_extra_args=True,
    )

    def init_fn(params: optax.Params) -> optax.OptState:
        return divided.init(params)

    def update_fn(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        updates = _factored.explicit(updates)
        return divided.update(updates, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
