"""What a user's own Flax loop needs."""

from neat_optax.training._state import PlayerTrainState as PlayerTrainState
