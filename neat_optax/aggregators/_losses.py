"""What the weightings that look at losses share: masks, and numbers that are learned.

These weightings are slopes of a scalar function of the losses, so that the weighted sum
of the gradients is the gradient of that function.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._weighting import Players, everyone


class Losses(NamedTuple):
    """The losses of one step."""

    values: jax.Array  # [P] float32 or wider, 0 where not usable
    usable: jax.Array  # [P] bool


def read_losses(players: Players) -> Losses:
    """The losses of present players; one that is not finite counts as absent."""
    assert players.losses is not None, "`needs_losses` makes the shell check this"
    return usable_losses(players.losses, players.present)


def usable_losses(losses: Any, present: Bool[Array, " P"] | None = None) -> Losses:
    """The finite losses of present players; all are present by default."""
    losses = _tree.widen(jnp.asarray(losses))
    usable = everyone(losses, present) & jnp.isfinite(losses)
    return Losses(jnp.where(usable, losses, 0), usable)


def masked_softmax(
    logits: Float[Array, " P"], mask: Bool[Array, " P"]
) -> Float[Array, " P"]:
    """Exponentials that sum to 1 over the mask, and 0 outside of it."""
    return jnp.where(mask, jax.nn.softmax(logits, where=mask), 0)


class Learned(NamedTuple):
    """One number for each player, and the state of the optimizer that moves them."""

    values: jax.Array  # [P] float32
    optimizer: Any


def check_optimizer(
    optimizer: optax.GradientTransformation | None, learning_rate: float
) -> optax.GradientTransformationExtraArgs:
    """The optimizer of learned numbers, Adam by default."""
    if optimizer is None:
        optimizer = optax.adam(learning_rate, eps_root=_tree.TINY)
    _checks.check_kind("optimizer", optimizer, optax.GradientTransformation)
    return optax.with_extra_args_support(optimizer)


def start_learning(
    optimizer: optax.GradientTransformation, num_players: int, value: float
) -> Learned:
    """Numbers that all start from one value."""
    values = jnp.full((num_players,), value, jnp.float32)
    return Learned(values, optimizer.init(values))


def learn(
    optimizer: optax.GradientTransformationExtraArgs,
    state: Learned,
    slope: Float[Array, " P"],
    moved: Bool[Array, " P"],
) -> Learned:
    """One step down the slope.

    Args:
      optimizer: which way to step.
      state: the numbers before.
      slope: [P].
      moved: [P] bool; the others' numbers stay, and so do their entries in the
        optimizer's state. With nobody moved nothing changes.
    """
    slope = jnp.where(moved, slope, 0)
    updates, new = optimizer.update(slope, state.optimizer, state.values)
    fresh = Learned(state.values + jnp.asarray(updates), new)

    def keep(new: jax.Array, old: jax.Array):
        mask = moved if jnp.shape(old) == moved.shape else jnp.any(moved)
        return jnp.where(mask, new, old)

    return jax.tree.map(keep, fresh, state)
