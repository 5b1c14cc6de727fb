"""What a weighting sees, and what it answers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._typing import Array, Bool, Float


class Players(NamedTuple):
    """One scope's players as a weighting sees them.

    Attributes:
      gramian: inner products of the players' gradients, each divided by `scale`. Rows
        of absent players are zero.
      scale: a power of 2 that keeps the Gramian within range; 1 as a rule. Weights that
        depend on the length of the gradients must take it into account.
      present: which players take part.
      preference: the extra argument `preference=` of `update`, or None.
      losses: the extra argument `losses=`, or None.
      cross: inner products of the players' gradients with those of the extra argument
        `second_batch=`, each divided by `scale`; the Gramian where there is none.
      step: steps taken before this one.
      size: elements of the scope's gradients.
      coordinates: the players' gradients in an orthonormal basis of their span, each
        divided by its length. Only where a weighting asks for them, else None.
      traces: the extra argument `traces=`, or None.
    """

    gramian: jax.Array  # [P, P] float32
    scale: jax.Array  # []
    present: jax.Array  # [P] bool
    preference: jax.Array | None  # [P]
    losses: jax.Array | None  # [P]
    cross: jax.Array  # [P, P]
    step: jax.Array  # [] int32
    size: jax.Array | float = 0.0  # []
    coordinates: jax.Array | None = None  # [P, P]
    traces: jax.Array | None = None  # [P]

    def shares(self, preference: Any = None) -> Float[Array, " P"]:
        """[P]: how much each player counts; see `shares`."""
        chosen = preference if self.preference is None else self.preference
        return shares(self.present, chosen)


class Decision(NamedTuple):
    """What a weighting decides."""

    weights: jax.Array  # [P]
    residual: jax.Array  # [] how far the solver is from its condition; 0 if closed form
    flattest: jax.Array | float = 1.0  # [] least curvature met on unit rows


class Weighting(NamedTuple):
    """A rule from players to weights, with a state.

    Attributes:
      name: the method's name.
      init: from the number of players, None if unknown, to the state.
      weights: from `Players` and the state to a `Decision` and the next state. It is
        mapped over scopes, so it must not branch on values.
      needs_gramian: whether inner products between players are needed.
      needs_norms: whether their lengths are, where no product between two is: then the
        Gramian has its diagonal, and zeros elsewhere.
      needs_losses: whether a missing `losses=` is an error.
      needs_num_players: whether the state has a size that depends on it.
      takes_coordinates: whether it decides again, with `Players.coordinates`, where
        `Decision.flattest` says that rounding of the Gramian limits its answer.
      correct: what is asked there in place of that: from `Players`, with coordinates, a
        decision, and the inner products of the players with the update that it leads
        to, measured on it, to a better decision.
    """

    name: str
    init: Callable[[int | None], Any]
    weights: Callable[[Players, Any], tuple[Decision, Any]]
    needs_gramian: bool = True
    needs_losses: bool = False
    needs_num_players: bool = False
    takes_coordinates: bool = False
    correct: Callable[[Players, Decision, jax.Array], Decision] | None = None
    needs_norms: bool = False

    def decide(self, players: Players, state: Any) -> tuple[Decision, Any]:
        """What `weights` answers, with one weight for each player."""
        decision, new_state = self.weights(players, state)
        _check_weights(decision.weights, len(players.present), self.name)
        flattest = jnp.asarray(decision.flattest, jnp.result_type(float))
        return decision._replace(flattest=flattest), new_state


def _check_weights(weights: Any, count: int, name: str) -> None:
    """Raises unless a rule of the user's own returned real weights [P]."""
    if weights is None or isinstance(weights, (list, tuple)):
        got = f"{type(weights).__name__}, which is no array,"
    elif jnp.shape(weights) != (count,):
        got = f"shape {jnp.shape(weights)}"
    elif jnp.iscomplexobj(weights):
        got = f"dtype {weights.dtype}"
    else:
        return
    raise ValueError(
        f"`weighting` must return one weight for each of the {count} players, got "
        f"{got} from {name}."
    )


def shares(present: Bool[Array, " P"], preference: Any = None) -> Float[Array, " P"]:
    """How much each player counts.

    Without a preference, `1 / P` for the `P` present players. A preference is taken as
    it is, and where players are absent, theirs is divided among the present ones in
    proportion.
    """
    if preference is None:
        return present / jnp.maximum(jnp.sum(present), 1)
    preference = jnp.asarray(preference, jnp.float32)
    _checks.check_per_player("preference", preference, len(present))
    preference = jnp.where(preference > 0, preference, 0)
    kept = jnp.where(present, preference, 0)
    return kept * _tree.safe_divide(jnp.sum(preference), jnp.sum(kept))


def everyone(
    gramian: Float[Array, "P ..."], present: Bool[Array, " P"] | None = None
) -> Bool[Array, " P"]:
    """`present`, or all players where it is None."""
    if present is None:
        return jnp.ones(len(gramian), bool)
    return jnp.asarray(present, bool)


def stateless_weighting(
    decide: Callable[[Players], Decision | jax.Array],
    name: str = "weighting",
    *,
    needs_gramian: bool = True,
    needs_losses: bool = False,
    needs_norms: bool = False,
    takes_coordinates: bool = False,
    correct: Callable[[Players, Decision, jax.Array], Decision] | None = None,
) -> Weighting:
    """Lifts a function from `Players` to weights, or to a `Decision`."""

    def weights(players: Players, state: Any) -> tuple[Decision, Any]:
        return as_decision(decide(players)), state

    return Weighting(
        name,
        lambda _: (),
        weights,
        needs_gramian,
        needs_losses,
        takes_coordinates=takes_coordinates,
        correct=correct,
        needs_norms=needs_norms,
    )


def as_decision(decided: Decision | jax.Array) -> Decision:
    """A decision whose residual is 0 where the rule has none."""
    if isinstance(decided, Decision):
        return decided
    return Decision(decided, jnp.zeros((), jnp.float32))


def as_weighting(weighting: Any) -> Weighting:
    """A `Weighting` as it is, and a function `gramian -> weights` lifted to one."""
    if isinstance(weighting, Weighting):
        return weighting
    _checks.check_function("weighting", weighting)
    name = getattr(weighting, "__name__", type(weighting).__name__)
    return stateless_weighting(lambda players: weighting(players.gramian), name)


def over_scopes(function: Callable[..., Any], *arguments: Any):
    """Maps over the leading axis; not mapped where there is one scope.

    Under `vmap`, both branches of a `cond` run.
    """
    if jax.tree.leaves(arguments)[0].shape[0] > 1:
        return jax.vmap(function)(*arguments)
    alone = function(*jax.tree.map(lambda x: x[0], arguments))
    return jax.tree.map(lambda x: x[None], alone)
