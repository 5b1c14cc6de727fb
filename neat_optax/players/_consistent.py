"""ConsMTL: heads that also make the gradients of their features agree."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _stacked, _tree
from neat_optax._citing import cites
from neat_optax.aggregators import fairgrad_weights
from neat_optax.players import _losses
from neat_optax.players._features import value_and_feature_grads
from neat_optax.players._gradients import value_and_player_grads

ALPHA = 2.0
"""FairGrad's, for the parameters that are shared."""


@cites("qin2025towards")
def value_and_consmtl_grads(
    trunk_fn: Callable[..., Any],
    heads_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    strength: Any = 1.0,
    max_ratio: float = 0.1,
    *,
    chunk_size: int | None = None,
) -> Callable[..., tuple[Any, Any]]:
    r"""The losses of all players, and one gradient of trunk and heads: ConsMTL.

    .. math:: u_{\text{trunk}} = \sum_i w_i \nabla_\theta \ell_i, \qquad
        u_{h_i} = \nabla_{h_i} \ell_i
        + \operatorname{clip}(-\lambda\, \nabla_{h_i} (\delta_i \cdot \delta)),
        \qquad \delta_i = \nabla_z \ell_i, \quad \delta = \sum_j w_j \delta_j

    with the features `z` of the trunk, the weights `w` of `fairgrad(2.0)` on the
    players' gradients of the trunk, and :math:`\delta` constant. So each head learns
    its player's task, and besides to send a gradient back that goes with that of all.
    The clipped part is at most `max_ratio` times as long as
    :math:`\nabla_{h_i} \ell_i`. Takes a backward pass through the trunk for each
    player, and a second derivative of the heads.

    Args:
      trunk_fn: a function `trunk_fn(params["trunk"], inputs)` that returns the
        features, a tree of float arrays.
      heads_fn: losses as in `value_and_feature_grads`, of `(params["heads"], features,
        *args, **kwargs)`. What a player's loss depends on is its head; the parts of
        players that share something there are added up.
      strength: nonnegative :math:`\lambda`; the authors take 1 to 50, by the data.
      max_ratio: nonnegative.
      chunk_size: as in `value_and_player_grads`, for the heads.

    Returns:
      A function `(params, inputs, *args, **kwargs)` of a dictionary `params` with the
      keys "trunk" and "heads" that returns the losses, [P], and a tree like `params`
      for an ordinary optimizer. Where no direction helps every player the trunk's part
      is zero, and the heads have their own gradients. A player that is not finite is
      left out.

    Example:
      >>> import jax.numpy as jnp
      >>> trunk = lambda p, x: p * x
      >>> heads = lambda p, z: [jnp.sum((p * z - 1) ** 2), jnp.sum((z + 2) ** 2)]
      >>> grads_fn = value_and_consmtl_grads(trunk, heads)
      >>> params = {"trunk": jnp.array(0.5), "heads": jnp.array(-1.0)}
      >>> losses, grads = grads_fn(params, jnp.ones(1))
      >>> losses.tolist(), round(float(grads["heads"]), 4)
      ([2.25, 6.25], -1.35)

    References:
      Qin, Wang and Yan, "Towards Consistent Multi-Task Learning: Unlocking the
      Potential of Task-Specific Parameters", 2025, and the authors' code for the
      weights and the clipping. It multiplies the trunk's part by `P`, and clips it to
      the length 1; here a transformation after this may.
    """
    _checks.check_function("trunk_fn", trunk_fn)
    _losses.check_loss_fn(heads_fn, "heads_fn")
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_number("max_ratio", max_ratio, "[0, inf)")
    of_features = value_and_feature_grads(trunk_fn, heads_fn, chunk_size=chunk_size)
    of_slopes = value_and_player_grads(_slopes(heads_fn), chunk_size=chunk_size)

    def value_and_grads(
        params: Any, inputs: Any, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        losses, gradients, pullback = of_features(params, inputs, *args, **kwargs)
        of_trunk = jax.vmap(pullback)(gradients)["trunk"]
        finite = _finite((of_trunk, gradients))
        weights = _weights(jax.tree.leaves(of_trunk), finite)
        delta = _sum(weights, finite, gradients["features"])
        features = trunk_fn(params["trunk"], inputs)
        _, pulls = of_slopes(params["heads"], features, delta, *args, **kwargs)
        heads = _clipped(gradients["heads"], pulls, strength, max_ratio)
        ones = jnp.ones_like(weights)
        trunk = _sum(weights, finite, of_trunk)
        return losses, {"trunk": trunk, "heads": _sum(ones, finite, heads)}

    return value_and_grads


def _slopes(heads_fn: Any) -> Any:
    """The losses' slopes along a direction of the features, as functions of heads."""

    def slope_of(function: Callable[..., Any]) -> Callable[..., Any]:
        def slope(heads: Any, features: Any, along: Any, *args: Any, **kwargs: Any):
            of = lambda z: function(heads, z, *args, **kwargs)  # noqa: E731
            return jax.jvp(of, (features,), (along,))[1]

        return slope

    if isinstance(heads_fn, Sequence | Mapping):
        several = [slope_of(function) for function in _losses.values(heads_fn)]
        return _losses.like(heads_fn, several)
    return slope_of(heads_fn)


def _finite(stacks: Any) -> jax.Array:
    """[P] bool: who is finite everywhere."""
    return jnp.isfinite(_stacked.largest_entry(jax.tree.leaves(stacks)))


def _weights(leaves: list[jax.Array], finite: jax.Array) -> jax.Array:
    """[P] of FairGrad, on gradients divided by their largest entry."""
    largest = jnp.max(jnp.where(finite, _stacked.largest_entry(leaves), 0))
    unit = jnp.where(largest > 0, largest, 1)
    gramian = _stacked.gramian(leaves, scale=1 / unit)
    both = finite[:, None] & finite[None, :]
    # (G w)_i = w_i^(-1/2) is homogeneous of degree -2/3 in G.
    return fairgrad_weights(jnp.where(both, gramian, 0), ALPHA) * unit ** (-4 / 3)


def _sum(weights: jax.Array, finite: jax.Array, stacks: Any) -> Any:
    return jax.tree.map(lambda x: _stacked.weighted_sum(weights, finite, x), stacks)


def _clipped(own: Any, pulls: Any, strength: Any, max_ratio: Any) -> Any:
    """Each player's own gradient less its pull, which is at most as long as allowed."""
    own_norms, norms = (jax.vmap(optax.tree.norm)(tree) for tree in (own, pulls))
    allowed = _tree.safe_divide(max_ratio * own_norms, norms)
    shares = jnp.minimum(strength, allowed)

    def less(gradient: jax.Array, pull: jax.Array):
        factors = shares.reshape(-1, *[1] * (pull.ndim - 1))
        return (gradient - factors * pull).astype(gradient.dtype)

    return jax.tree.map(less, own, pulls)
