"""DCGD: dual cone gradient descent, in three variants."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators import _conflict_free, _dual_proj, _upgrad
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._weighting import (
    Decision,
    Players,
    everyone,
    stateless_weighting,
)

VARIANTS = ("projection", "average", "center")


def dcgd_weights(
    gramian: Float[Array, "P P"],
    variant: str = "center",
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    """Weights of DCGD.

    Args:
      gramian: [P, P], inner products of the gradients.
      variant: see `dcgd`.
      present: [P] bool; absent players have zero rows, and get the weight 0.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> products = jnp.array([[9.0, -1.5], [-1.5, 1.0]])
      >>> [round(x, 4) for x in dcgd_weights(products, "projection").tolist()]
      [1.0, 1.5]
    """
    return _decide(gramian, everyone(gramian, present), variant).weights


@cites("hwang2024dual")
def dcgd(
    variant: str = "center",
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""DCGD: keeps the sum of the gradients in the cone where no player is harmed.

    With :math:`g = \sum_i g_i` and the cone :math:`K = \{d : g_i \cdot d \ge 0\}`,

    .. math:: u_\text{projection} = \operatorname*{arg\,min}_{d \in K} |d - g|, \qquad
        u_\text{average} = \begin{cases} g & g \in K \\
        \frac1P \sum_i \operatorname*{arg\,min}_{d \in K} |d - g_i| & \text{else}
        \end{cases}, \qquad
        u_\text{center} = \frac{g \cdot c}{c \cdot c}\, c

    with `c` the direction of equal cosines with all gradients. Non-conflicting; the
    center so only where the gradients are independent.

    For two players these are the paper's: in the first two, what is projected is `g`
    onto the plane normal to the player that it harms, or to each of the two, and
    :math:`c = g_1 / |g_1| + g_2 / |g_2|`. The paper's losses are two, of the equation
    and of all conditions. For more players than two it has no formula: here the first
    is DualProj of the sum, the second the mean of UPGrad, and the third ConFIG, with
    which the center agrees for two players already.

    Args:
      variant: "projection", "average" or "center".
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> g = jnp.array([[3.0, 0.0], [-1.0, 1.0]])
      >>> for variant in ("projection", "average", "center"):
      ...     tx = aggregators.dcgd(variant)
      ...     update, _ = tx.update(g, tx.init(g[0]))
      ...     print([round(x, 4) for x in update.tolist()])
      [1.5, 1.5]
      [0.75, 1.25]
      [0.6464, 1.5607]

    References:
      Hwang and Lim, "Dual Cone Gradient Descent for Training Physics-Informed Neural
      Networks", 2024, its three algorithms; the center is the default of the authors'
      code. It adds 1e-8 to the lengths and reports when the two gradients are opposed;
      here nothing is added, and the update is zero there.
    """
    _checks.check_choice("variant", variant, VARIANTS)

    def decide(players: Players):
        coordinates = players.coordinates if variant == "average" else None
        return _decide(players.gramian, players.present, variant, coordinates)

    weighting = stateless_weighting(
        decide,
        f"dcgd_{variant}",
        takes_coordinates=variant == "average",
        correct=_correct if variant == "projection" else None,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(
    gramian: Float[Array, "P P"],
    present: Bool[Array, " P"],
    variant: str,
    coordinates: Float[Array, "P P"] | None = None,
) -> Decision:
    shares = present.astype(jnp.result_type(float))
    if variant == "projection":
        return _dual_proj.decide(gramian, shares)
    if variant == "center":
        return _conflict_free.decide(gramian, shares, "projection")
    found = _upgrad.decide(
        gramian, shares / jnp.maximum(jnp.sum(shares), 1), coordinates
    )
    harms = jnp.any(jnp.matmul(gramian, shares, precision="highest") < 0)
    return Decision(
        jnp.where(harms, found.weights, shares),
        jnp.where(harms, found.residual, 0),
        jnp.where(harms, found.flattest, 1),
    )


def _correct(players: Players, last: Decision, gains: Float[Array, " P"]) -> Decision:
    players = players._replace(preference=None)
    ones = jnp.ones(len(players.present))
    return _dual_proj.correct(players, last, gains, ones)
