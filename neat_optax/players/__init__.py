"""Where players' gradients come from, and which parameters they contest."""

from neat_optax.players.gradients import (
    value_and_example_grads as value_and_example_grads,
)
from neat_optax.players.gradients import (
    value_and_player_grads as value_and_player_grads,
)
from neat_optax.players.shared import aggregate_shared as aggregate_shared
from neat_optax.players.shared import shared_params as shared_params
