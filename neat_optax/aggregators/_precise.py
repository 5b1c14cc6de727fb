"""A second decision, where rounding of the Gramian limits the first.

Two gradients opposed but for an angle `t` have products that tell it from zero by
`t^2 / 2`, which float32 rounds. Their sum tells it by `t`. So what nearly cancels is
summed before it is measured.
"""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _stacked
from neat_optax._typing import Array, Float
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._gramian import Group, Measured
from neat_optax.aggregators._weighting import Decision, Weighting, over_scopes

FLAT_IN_EPS = 8192
"""Curvatures below this many units of rounding are known to few digits."""
CORRECTIONS = 3
RIDGE_IN_EPS = 4
SPANNED = 1e-3
"""Squared length of a vector of the basis, 1 as a rule, below which it is left out."""


def decide_precisely(
    weighting: Weighting, groups: list[Group], measured: Measured, first: Decision
) -> Decision:
    """The first decision, or where it met flat directions another, with coordinates.

    Derivatives are those of the first decision.

    Args:
      weighting: one that takes coordinates, and has no state.
      groups: the leaves of every scope.
      measured: the players of every scope.
      first: the decision of every scope without coordinates.
    """
    known = jax.lax.stop_gradient((groups, measured, first))
    eps = jnp.finfo(measured.players.gramian.dtype).eps
    flat = jnp.any(known[2].flattest < FLAT_IN_EPS * eps)
    found = jax.lax.cond(flat, lambda: _again(weighting, *known), lambda: known[2])
    return _with_derivative(found, first)


def _again(
    weighting: Weighting, groups: list[Group], measured: Measured, first: Decision
) -> Decision:
    coordinates = measure_coordinates(groups, measured)
    players = measured.players._replace(coordinates=coordinates)

    def decide(players: Any) -> Decision:
        decision = weighting.decide(players, ())[0]
        weights = jnp.where(players.present, decision.weights, 0)
        return decision._replace(weights=weights)

    improve = weighting.correct
    if improve is None:
        return over_scopes(decide, players)

    def correct(_: Any, last: Decision) -> Decision:
        gains = measure_gains(groups, measured, last.weights)
        return over_scopes(improve, players, last, gains)

    return jax.lax.fori_loop(0, CORRECTIONS, correct, first)


@jax.custom_jvp
def _with_derivative(found: Decision, first: Decision) -> Decision:
    del first
    return found


@_with_derivative.defjvp
def _with_derivative_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]):
    return _with_derivative(*primals), tangents[1]


def measure_coordinates(
    groups: list[Group], measured: Measured
) -> Float[Array, "S P P"]:
    r"""The players' unit gradients in an orthonormal basis of their span.

    For `Q = T U`, with `U` the unit gradients and `T` a root of the inverse of their
    Gramian as it was measured, `Q` is orthonormal but for the Gramian's rounding, and
    :math:`U U^\top = M^\top (Q Q^\top)^{-1} M` with `M = Q U'` measured on `Q` itself.
    """
    players = measured.players
    found = []
    for number, group in enumerate(groups):
        rows = correlation(players.gramian[number])
        values, vectors = jnp.linalg.eigh(rows.matrix)
        ridge = RIDGE_IN_EPS * len(values) * jnp.finfo(values.dtype).eps
        length = jnp.sqrt(jnp.maximum(values, 0) + ridge)
        basis = vectors.T / length[:, None] * rows.active[None]
        shares = basis * rows.per_norm[None]
        mixed = _products(group, measured, shares, players.scale[number])
        mixed = mixed * rows.per_norm[None]
        inner = jnp.matmul(mixed, basis.T, precision="highest")
        values, vectors = jnp.linalg.eigh((inner + inner.T) / 2)
        spanned = jnp.where(values > SPANNED, values, jnp.inf)
        inverse = vectors / jnp.sqrt(spanned)[None]
        found.append(jnp.matmul(mixed.T, inverse, precision="highest"))
    return jnp.stack(found)


def measure_gains(
    groups: list[Group], measured: Measured, weights: Float[Array, "S P"]
) -> Float[Array, "S P"]:
    """Inner products of the players with the update of such weights, taken on it.

    As the Gramian, they are of gradients divided by `Players.scale`.
    """
    scales = measured.players.scale
    found = [
        _products(group, measured, own[None], scale)
        for group, own, scale in zip(groups, weights, scales, strict=True)
    ]
    return jnp.concatenate(found)


def _products(
    group: Group, measured: Measured, weights: Float[Array, "K P"], scale: jax.Array
) -> Float[Array, "K P"]:
    return _stacked.products_of_sums(
        weights, measured.finite, group.gradients, 1 / scale, group.metric
    )
