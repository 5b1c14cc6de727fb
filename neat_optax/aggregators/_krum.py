"""Krum and Multi-Krum: Byzantine-robust selection of gradients."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._weighting import everyone, stateless_weighting


def krum_weights(
    gramian: Float[Array, "P P"],
    num_byzantine: int,
    num_selected: int = 1,
    present: Bool[Array, " P"] | None = None,
    squared: bool = True,
) -> Float[Array, " P"]:
    r"""Weights of Krum and Multi-Krum.

    .. math:: s_i = \sum_{j \in N(i)} |g_i - g_j|^2

    with `N(i)` the `P - b - 2` nearest others; the players with the smallest scores
    share the weight.

    Args:
      gramian: [P, P], inner products of the gradients; `P >= num_byzantine + 3`.
      num_byzantine: `b`, at least 0.
      num_selected: how many players are averaged.
      present: [P] bool; absent players are nobody's neighbors and are not selected.
      squared: whether distances are squared.

    Returns:
      [P] weights of the gradients, with the sum 1.

    Example:
      >>> import jax.numpy as jnp
      >>> g = jnp.array([[1.0], [1.5], [1.75], [9.0]])
      >>> krum_weights(g @ g.T, 1).tolist()
      [0.0, 1.0, 0.0, 0.0]
    """
    count = len(gramian)
    _check_counts(count, num_byzantine, num_selected)
    gramian = _tree.widen(gramian)
    present = everyone(gramian, present)
    norms = jnp.diagonal(gramian)
    distances = jnp.maximum(norms[:, None] + norms[None, :] - 2 * gramian, 0)
    distances = distances if squared else _tree.root(distances)
    others = present[None, :] & ~jnp.eye(count, dtype=bool)
    ordered = jnp.sort(jnp.where(others, distances, jnp.inf), axis=1)
    nearest = jnp.maximum(jnp.sum(present) - num_byzantine - 2, 1)
    counted = (jnp.arange(count)[None, :] < nearest) & (ordered < jnp.inf)
    scores = jnp.sum(jnp.where(counted, ordered, 0), axis=1)
    scores = jnp.where(present, scores, jnp.inf)
    rank = jnp.argsort(jnp.argsort(scores))
    selected = (rank < num_selected) & present
    return selected / jnp.maximum(jnp.sum(selected), 1)


def multi_krum_weights(
    gramian: Float[Array, "P P"],
    num_byzantine: int,
    num_selected: int,
    present: Bool[Array, " P"] | None = None,
    squared: bool = True,
) -> Float[Array, " P"]:
    """Weights of Multi-Krum: see `krum_weights`."""
    return krum_weights(gramian, num_byzantine, num_selected, present, squared)


@cites("blanchard2017machine")
def krum(
    num_byzantine: int,
    *,
    squared: bool = True,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Krum: selects the gradient closest to its neighbors (Byzantine-robust).

    .. math:: u = g_k, \qquad k = \operatorname*{arg\,min}_i
        \sum_{j \in N(i)} |g_i - g_j|^2

    with `N(i)` the `P - b - 2` nearest others. Up to `b` players that send arbitrary
    gradients cannot move the update far. Not a method against conflict: most players
    are ignored.

    Args:
      num_byzantine: `b`, at least 0; the players must be `b + 3` or more.
      squared: whether distances are squared, as in the paper. Some implementations do
        not.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.krum(1)
      >>> g = jnp.array([[1.0], [1.5], [1.75], [9.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [1.5]

    References:
      Blanchard et al., "Machine Learning with Adversaries", 2017, section 4.
    """
    return _krum("krum", num_byzantine, 1, squared, scope, num_players, monitor)


@cites("blanchard2017machine")
def multi_krum(
    num_byzantine: int,
    num_selected: int,
    *,
    squared: bool = True,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Multi-Krum: averages the gradients with the smallest Krum scores.

    As `krum`, for the `num_selected` players with the smallest scores.

    Args:
      num_byzantine: `b`, at least 0; the players must be `b + 3` or more.
      num_selected: how many players are averaged, from 1 to `P`.
      squared: whether distances are squared, as in the paper.
      scope, num_players, monitor: see `aggregate`.

    References:
      Blanchard et al., "Machine Learning with Adversaries", 2017, section 6.
    """
    return _krum(
        "multi_krum", num_byzantine, num_selected, squared, scope, num_players, monitor
    )


@cites("blanchard2017machine")
def _krum(
    name: str,
    num_byzantine: int,
    num_selected: int,
    squared: bool,
    scope: Scope,
    num_players: int | None,
    monitor: bool,
):
    _checks.check_count("num_byzantine", num_byzantine)
    _checks.check_count("num_selected", num_selected, minimum=1)
    _checks.check_bool("squared", squared)
    weighting = stateless_weighting(
        lambda players: krum_weights(
            players.gramian, num_byzantine, num_selected, players.present, squared
        ),
        name,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _check_counts(num_players: int, num_byzantine: int, num_selected: int):
    if num_players < num_byzantine + 3:
        raise ValueError(
            f"`updates` must have at least {num_byzantine + 3} players for Krum with "
            f"{num_byzantine} of them byzantine, got {num_players}."
        )
    if num_selected > num_players:
        raise ValueError(
            f"`num_selected` must be at most the {num_players} players, got "
            f"{num_selected}."
        )
