"""DB-MTL: EMAs of log-loss gradients, normalized to equal norms."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._per_player import per_player
from neat_optax.aggregators._weighting import stateless_weighting


def db_mtl_weights(gramian: Float[Array, "P P"]) -> Float[Array, " P"]:
    r"""Weights that make every gradient as long as the longest.

    .. math:: w_i = \frac{\max_j |g_j|}{|g_i|}

    Args:
      gramian: [P, P], inner products of the gradients. Zero rows get the weight 0.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> db_mtl_weights(jnp.diag(jnp.array([1.0, 4.0]))).tolist()
      [2.0, 1.0]
    """
    rows = correlation(gramian)
    return jnp.max(rows.norms) * rows.per_norm


@cites("lin2023dual")
def db_mtl(
    decay: float = 0.9,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""DB-MTL: balances losses by their logarithms and gradients by their norms.

    .. math:: u = \sum_i \frac{\max_j |m_j|}{|m_i|}\, m_i, \qquad
        m_i \leftarrow \beta\, m_i + (1 - \beta)\, \nabla \log L_i, \quad
        \nabla \log L_i = g_i / L_i

    with `m` debiased. May conflict with players. With the extra argument `losses=` the
    gradients are divided by them first, so that they are those of the log-losses;
    without it they are taken as they are, for losses that are logarithms already. A
    player whose `m` is zero adds nothing. A loss of zero or less has no logarithm: its
    player counts as one with a zero gradient. A player whose loss is not finite is left
    out.

    Args:
      decay: :math:`\beta` in [0, 1) of each player's average; 0 for no memory.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.db_mtl(num_players=2)
      >>> g = jnp.diag(jnp.array([1.0, 4.0]))
      >>> update, _ = tx.update(g, tx.init(g[0]), losses=jnp.array([0.5, 4.0]))
      >>> print(update.round(4))
      [2. 2.]

    References:
      Lin et al., "Dual-Balancing for Multi-Task Learning", 2023, section 3. The
      authors' average starts from zero without a correction, which shortens the first
      steps, and they add 1e-8 to losses and lengths; here the average is debiased and
      nothing is added.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_fields({"decay": decay}, {"decay": "[0, 1)"})
    weighting = stateless_weighting(
        lambda players: db_mtl_weights(players.gramian),
        "db_mtl",
        needs_gramian=False,
        needs_norms=True,
    )
    return optax.chain(
        divide_by_losses(),
        per_player(optax.ema(decay), num_players=num_players),
        aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor),
    )


def divide_by_losses() -> optax.GradientTransformationExtraArgs:
    """From gradients of losses to those of their logarithms, if `losses=` is given."""

    def init_fn(params: Any) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        *,
        losses: Any = None,
        **extra_args: Any,
    ):
        del params, extra_args
        if losses is None:
            return updates, state
        count = _checks.check_players(updates)
        if not count:
            return updates, state
        _checks.check_per_player("losses", losses, count)
        losses = _tree.widen(jnp.asarray(losses))
        positive = losses > 0
        factors = jnp.where(positive, 1 / jnp.where(positive, losses, 1), 0)
        factors = jnp.where(jnp.isfinite(losses), factors, jnp.nan)

        def divide(g: jax.Array):
            rows = factors.reshape(-1, *[1] * (g.ndim - 1))
            return (_tree.widen(g) * rows).astype(g.dtype)

        return jax.tree.map(divide, updates), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
