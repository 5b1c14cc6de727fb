"""Optax transformations of each player's gradient, before the reduction."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _factored, _stacked
from neat_optax._typing import Array, Bool
from neat_optax.aggregators._gramian import Extras


def per_player(
    tx: optax.GradientTransformation, *, num_players: int
) -> optax.GradientTransformationExtraArgs:
    r"""Applies a transformation to each player's gradient independently.

    .. math:: g_i \leftarrow \operatorname{tx}(g_i;\ \text{state}_i)

    Gradients keep their leading player axis, so that clipping, momentum or
    normalization of each player can stand before the reduction. Every player has a
    state of its own: each array of `tx`'s state gets a leading axis of `num_players`,
    and a random key in it is split, so that players draw different numbers.

    A player that is absent, or has a NaN or an infinite entry, is passed on as it came
    and its state stays as it was. A zero gradient is treated as `tx` treats it.

    Args:
      tx: any transformation whose updates have the shape of its gradients. It is given
        the parameters, and extra arguments other than `present=`, as they are: they
        are shared by all players.
      num_players: `P`, at least 1.

    Returns:
      A transformation. `init` takes the parameters, which have no player axis; `update`
      takes the extra argument `present=` ([P] bool). The dtype of an update is its
      gradient's, and a state keeps the dtypes it started with. Sharding specs derived
      from the parameters' need a leading `None` for the player axis of the state.

    Raises:
      ValueError: at trace time, if the leaves do not have a leading axis of
        `num_players`, or if `tx` changes a shape.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax import aggregators
      >>> tx = optax.chain(
      ...     aggregators.per_player(optax.clip_by_global_norm(2.0), num_players=2),
      ...     aggregators.sum(),
      ... )
      >>> g = jnp.array([[4.0, 0.0], [0.0, 0.5]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [2.0, 0.5]
    """
    _checks.check_kind("tx", tx, optax.GradientTransformation)
    _checks.check_count("num_players", num_players, minimum=1)
    inner = optax.with_extra_args_support(tx)

    def init_fn(params: Any) -> Any:
        return jax.tree.map(lambda x: _copies(x, num_players), inner.init(params))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ):
        updates = _factored.explicit(updates)
        count = _checks.check_players(updates, params)
        if not count:
            return updates, state
        _checks.check_num_players(num_players, count)
        keep = Extras.read(extra_args, updates, count).present & find_finite(updates)
        shared = {k: v for k, v in extra_args.items() if k != "present"}

        def one_player(gradient: Any, own: Any):
            return inner.update(gradient, own, params, **shared)

        changed, new_state = jax.vmap(one_player)(updates, state)
        _checks.check_same_structure("updates of tx", changed, "updates", updates)
        return (
            select_players(keep, changed, updates),
            select_players(keep, new_state, state),
        )

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def find_finite(updates: Any) -> Bool[Array, " P"]:
    """[P] bool: which players of a tree of arrays [P, ...] have finite entries only."""
    return jnp.isfinite(_stacked.largest_entry(jax.tree.leaves(updates)))


def select_players(keep: Bool[Array, " P"], new: Any, old: Any) -> Any:
    """Where `keep`, the rows of `new`, elsewhere those of `old`, in its dtypes.

    Args:
      keep: [P] bool.
      new, old: trees of arrays [P, ...].
    """

    def select(fresh: jax.Array, known: jax.Array):
        if fresh.dtype != known.dtype:
            fresh = fresh.astype(known.dtype)
        return jnp.where(keep.reshape(-1, *[1] * (known.ndim - 1)), fresh, known)

    return jax.tree.map(select, new, old)


def _copies(x: Any, num_players: int) -> jax.Array:
    """`x` once for each player; a random key is split instead."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        keys = jax.random.split(x.reshape(-1)[0], num_players * x.size)
        return keys.reshape(num_players, *x.shape)
    return jnp.broadcast_to(x, (num_players, *x.shape))
