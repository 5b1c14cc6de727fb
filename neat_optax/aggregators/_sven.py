"""Sven: the shortest step that would bring all losses to zero, were they linear."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import read_losses
from neat_optax.aggregators._solvers._spectrum import eigenpairs
from neat_optax.aggregators._weighting import Players, stateless_weighting


def sven_weights(
    gramian: Float[Array, "P P"],
    losses: Float[Array, " P"],
    rtol: Any = 1e-3,
    rank: int | None = None,
    kappa: Any = 2.0,
) -> Float[Array, " P"]:
    r"""Weights of Sven.

    .. math:: w = D\, (D G D)^+ R, \qquad R = L^{\kappa/2}, \quad
        D = \operatorname{diag}(\tfrac{\kappa}{2} L^{\kappa/2 - 1})

    Args:
      gramian: [P, P], inner products of the gradients of the losses.
      losses: [P] `L`. With `kappa` other than 2, one that is not positive counts as 0.
      rtol, rank, kappa: see `sven`.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> gramian, losses = jnp.diag(jnp.array([1.0, 4.0])), jnp.array([3.0, 2.0])
      >>> [round(x, 4) for x in sven_weights(gramian, losses).tolist()]
      [3.0, 0.5]
    """
    targets, slopes = _powers(jnp.asarray(losses, jnp.result_type(float)), kappa)
    matrix = _tree.widen(gramian) * slopes[:, None] * slopes[None, :]
    values, vectors, counts = eigenpairs(matrix)
    kept = counts & (values > jnp.square(rtol) * jnp.max(values))
    if rank is not None:
        kept = kept & (jnp.arange(len(values)) >= len(values) - rank)
    inside = jnp.matmul(targets, vectors, precision="highest")
    inside = _tree.safe_divide(inside, jnp.where(kept, values, 0))
    return slopes * jnp.matmul(vectors, inside, precision="highest")


@cites("brightthonney2026sven")
def sven(
    rtol: optax.ScalarOrSchedule = 1e-3,
    rank: int | None = None,
    kappa: float = 2.0,
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Sven: the pseudo-inverse of the Jacobian of the losses, times the losses.

    .. math:: u = M^+ R = M^\top (M M^\top)^+ R, \qquad R_i = L_i^{\kappa/2}, \quad
        M = \partial R / \partial p

    The shortest update with which, to first order, all :math:`L^{\kappa/2}` fall to
    zero in a step of the learning rate 1; where that is impossible, the sum of their
    squares as far as it can. The players are examples as a rule, and the learning rate
    below 1. Without truncation, and with losses that are positive and gradients that
    are independent, no player is harmed. Unlike that of other methods the update is
    long where the gradients are short. Needs the extra argument `losses=`, in which
    residuals may stand with their gradients, negative ones too. A player whose loss is
    not finite is left out.

    Args:
      rtol: in [0, 1), or a schedule: singular values of `M` up to this share of the
        largest count as zero. They come from the Gramian, where those below a root of
        `P` times the rounding, 1e-3 in float32, cannot be told from zero.
      rank: how many singular values may count, the largest first, at least 1; all by
        default.
      kappa: positive :math:`\kappa`. 2 takes the losses as they are, 1 their roots, the
        residuals of squared errors; then losses must be positive.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.sven()
      >>> g, losses = jnp.array([[1.0, 0.0], [1.0, 2.0]]), jnp.array([3.0, 1.0])
      >>> update, _ = tx.update(g, tx.init(g[0]), losses=losses)
      >>> [round(x, 4) for x in (g @ update).tolist()]
      [3.0, 1.0]

    References:
      Bright-Thonney, Harvey, Lukas and Thaler, "Sven: Singular Value Descent as a
      Computationally Efficient Natural Gradient Method", 2026, and the authors' code,
      whose `k` is `rank`. It takes singular values of the Jacobian itself and also
      leaves out those below 1e-10; here there is no absolute bound.
    """
    _checks.check_number("rtol", rtol, "[0, 1)")
    _checks.check_number("kappa", kappa, "(0, inf)")
    if rank is not None:
        _checks.check_count("rank", rank, minimum=1)

    def decide(players: Players):
        losses, usable = read_losses(players)
        both = usable[:, None] & usable[None, :]
        gramian = jnp.where(both, players.gramian, 0)
        weights = sven_weights(
            gramian, losses, value_at(rtol, players.step), rank, kappa
        )
        longest = jnp.finfo(weights.dtype).max
        return jnp.clip(weights / players.scale / players.scale, -longest, longest)

    weighting = stateless_weighting(decide, "sven", needs_losses=True)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _powers(
    losses: Float[Array, " P"], kappa: Any
) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
    """`L^(k/2)` and its slope, both 0 where the slope is not finite."""
    if isinstance(kappa, int | float) and kappa == 2:
        return losses, jnp.ones_like(losses)
    positive = losses > 0
    targets = jnp.where(positive, losses, 1) ** (kappa / 2)
    slopes = kappa / 2 * targets / jnp.where(positive, losses, 1)
    return jnp.where(positive, targets, 0), jnp.where(positive, slopes, 0)
