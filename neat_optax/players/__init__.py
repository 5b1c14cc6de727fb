"""Gradients with a player axis: their making, what is shared, contests."""

from neat_optax.players._gradients import (
    value_and_example_grads as value_and_example_grads,
)
from neat_optax.players._gradients import (
    value_and_player_grads as value_and_player_grads,
)
from neat_optax.players._gramian_form import neat_weights as neat_weights
from neat_optax.players._shared import aggregate_shared as aggregate_shared
from neat_optax.players._shared import shared_params as shared_params
