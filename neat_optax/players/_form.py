"""How contests between players are measured, decided and combined: the interface."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from neat_optax import _tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._gramian import Extras, Group
from neat_optax.aggregators._gramian import Measured as MeasuredGramian
from neat_optax.aggregators._weighting import Decision


class Form(NamedTuple):
    """How contests with one kind of opponent are measured, decided and combined.

    Attributes:
      measure: from the leaves of every scope, the extra arguments and the step to what
        was measured, with a field `finite`, [P] bool.
      decide: from what was measured, the rules' state and the step to what was decided
        and the next state.
      combine: from all leaves, the numbers of their scopes, what was measured and what
        was decided to the leaves' updates.
      report: from the arguments of `measure`, what was measured and what was decided to
        the Gramians and weights of all scopes, for diagnostics.
    """

    measure: Callable[[list[Group], Extras, jax.Array], Any]
    decide: Callable[[Any, Any, jax.Array], tuple[Any, Any]]
    combine: Callable[[list[jax.Array], tuple[int, ...], Any, Any], list[jax.Array]]
    report: Callable[..., tuple[MeasuredGramian, Decision]]


class Reduction(NamedTuple):
    """How corrected gradients are reduced to one."""

    preference: ArrayLike | None
    add: bool

    def shares(
        self, present: Bool[Array, " P"], preference: ArrayLike | None = None
    ) -> Float[Array, " P"]:
        """How much every player counts; 0 for absent ones."""
        chosen = self.preference if preference is None else preference
        if chosen is None:
            return present.astype(jnp.float32)
        chosen = jnp.asarray(chosen, jnp.float32)
        return jnp.where(present & (chosen > 0), chosen, 0)

    def factors(self, shares: Float[Array, " P"]) -> Float[Array, " P"]:
        """The factors of the corrected gradients in the update."""
        return shares if self.add else _tree.safe_divide(shares, jnp.sum(shares))


def combined_weights(
    factors: Float[Array, " P"],
    on_gradient: Float[Array, " P"],
    on_opponent: Float[Array, " P"],
    shares: Float[Array, " P"],
    own: Float[Array, " P"],
    inverse: Float[Array, " P"],
) -> Float[Array, " P"]:
    r"""Weights of the gradients in :math:`\sum_i r_i (g_i + a_i g_i + b_i o_i)`.

    Args:
      factors: of the corrected gradients in the update, `r`.
      on_gradient: coefficients of the gradients, `a`.
      on_opponent: coefficients of the opponents, `b`.
      shares: how much each player counts.
      own: what of its own share each player takes out of its opponent's sum.
      inverse: 1 / (sum of the opponent's shares), 0 if there are none.
    """
    pull = factors * on_opponent * inverse
    return factors * (1 + on_gradient) + shares * jnp.sum(pull) - own * pull


def share_state(states: Any, weights: jax.Array, old: Any) -> Any:
    """One state from those of many contests: their mean, or for a counter any.

    Args:
      states: each array with the axes of `weights` first.
      weights: which contests count; if none does, the old state stays.
      old: the state before.
    """
    total = jnp.sum(weights)
    axes = tuple(range(weights.ndim))

    def share(values: jax.Array, before: jax.Array) -> jax.Array:
        if not jnp.issubdtype(values.dtype, jnp.inexact):
            return values[(0,) * weights.ndim]
        shape = (*weights.shape, *[1] * (values.ndim - weights.ndim))
        mean = jnp.sum(values * weights.reshape(shape), axis=axes) / total
        return jnp.where(total > 0, mean, before).astype(before.dtype)

    return jax.tree.map(share, states, old)
