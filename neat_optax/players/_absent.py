"""Parameters whose players are absent stand still."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import _checks, _factored, _tree
from neat_optax.aggregators._gramian import Extras
from neat_optax.aggregators._per_player import find_finite
from neat_optax.transforms._reset import entries


def hold_absent(
    inner: optax.GradientTransformation, players: Any
) -> optax.GradientTransformationExtraArgs:
    r"""Holds parameters, and their moments, in steps in which their players are absent.

    .. math:: u_k = 0 \text{ and } s_k' = s_k
        \quad\text{where no player of parameter } k \text{ is present}

    The head of an absent task has a gradient of zero. Momentum and weight decay move it
    all the same, and its moments fade; here it waits for its player. A player whose
    gradient is not finite counts as absent.

    Args:
      inner: an aggregator with what follows it, learning rate and decay included.
      players: for each parameter an array [P] of bool, as `param_players` returns, or
        for whole branches.

    Returns:
      A transformation from gradients with a leading player axis. `update` takes the
      extra argument `present=` ([P] bool) and passes all on to `inner`. Whatever in the
      state of `inner` has a parameter's place and shape is held with it; step counts
      go on.

    Raises:
      ValueError: when it is traced, if `players` does not have the structure of the
        parameters, or an array of it another shape than [P].

    Example:
      >>> import jax.numpy as jnp, numpy as np, optax, neat_optax as neo
      >>> players = {"trunk": np.array([True, True]), "head": np.array([True, False])}
      >>> inner = optax.chain(neo.aggregators.sum(), optax.adamw(0.1, weight_decay=0.5))
      >>> tx = hold_absent(inner, players)
      >>> p = {"trunk": jnp.ones(()), "head": jnp.ones(())}
      >>> g = {"trunk": jnp.ones(2), "head": jnp.array([1.0, 0.0])}
      >>> u, _ = tx.update(g, tx.init(p), p, present=jnp.array([False, True]))
      >>> print(u["trunk"] < 0, u["head"])
      True 0.0
    """
    _checks.check_kind("inner", inner, optax.GradientTransformation)
    inner = optax.with_extra_args_support(inner)

    def update_fn(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        updates = _factored.explicit(updates)
        count = _checks.check_players(updates, params)
        if not count:
            return inner.update(updates, state, params, **extra_args)
        present = Extras.read(extra_args, updates, count).present
        alive = _alive(players, updates, present & find_finite(updates))
        moved, new = inner.update(updates, state, params, **extra_args)
        treedef = jax.tree.structure(updates)
        steps = jax.tree.map(
            lambda a, u: jnp.where(a, u, 0), treedef.unflatten(alive), moved
        )

        def hold(number: int, old: Any, fresh: Any) -> Any:
            return fresh if number < 0 else jnp.where(alive[number], fresh, old)

        return steps, jax.tree.map(hold, entries(inner, state, moved), state, new)

    return optax.GradientTransformationExtraArgs(inner.init, update_fn)


def _alive(players: Any, updates: Any, present: jax.Array) -> list[jax.Array]:
    """[]: for each parameter, whether one of its players is present."""
    if not _tree.is_prefix(players, updates):
        raise ValueError(
            "`players` must have the tree structure of the parameters, "
            f"{jax.tree.structure(updates)}, got {jax.tree.structure(players)}."
        )
    flags = [np.asarray(one) for one in _tree.spread(players, updates)]
    for one in flags:
        _checks.check_per_player("players", one, len(present))
    return [jnp.any(present & one) for one in flags]
