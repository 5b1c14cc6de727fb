"""The only validation, and the only wording of an error.

Values are checked when a factory is called, shapes when `update` is traced. A traced
value is never looked at, and so never raises.
"""

from neat_optax._checks.arrays import check_axis as check_axis
from neat_optax._checks.arrays import check_chosen as check_chosen
from neat_optax._checks.arrays import check_differentiated as check_differentiated
from neat_optax._checks.arrays import check_given as check_given
from neat_optax._checks.arrays import check_inexact as check_inexact
from neat_optax._checks.arrays import check_leaf_value as check_leaf_value
from neat_optax._checks.arrays import check_loss_params as check_loss_params
from neat_optax._checks.arrays import check_losses as check_losses
from neat_optax._checks.arrays import check_mask as check_mask
from neat_optax._checks.arrays import check_one_each as check_one_each
from neat_optax._checks.arrays import check_params as check_params
from neat_optax._checks.arrays import check_real as check_real
from neat_optax._checks.arrays import check_same_structure as check_same_structure
from neat_optax._checks.arrays import check_scores as check_scores
from neat_optax._checks.arrays import check_state as check_state
from neat_optax._checks.arrays import check_tree_like as check_tree_like
from neat_optax._checks.arrays import check_update as check_update
from neat_optax._checks.arrays import naming as naming
from neat_optax._checks.stacked import check_fitness as check_fitness
from neat_optax._checks.stacked import check_num_players as check_num_players
from neat_optax._checks.stacked import check_per_child as check_per_child
from neat_optax._checks.stacked import check_per_player as check_per_player
from neat_optax._checks.stacked import check_players as check_players
from neat_optax._checks.stacked import check_population as check_population
from neat_optax._checks.values import check_bool as check_bool
from neat_optax._checks.values import check_choice as check_choice
from neat_optax._checks.values import check_count as check_count
from neat_optax._checks.values import check_dtype as check_dtype
from neat_optax._checks.values import check_fewer as check_fewer
from neat_optax._checks.values import check_fields as check_fields
from neat_optax._checks.values import check_function as check_function
from neat_optax._checks.values import check_holds as check_holds
from neat_optax._checks.values import check_integer as check_integer
from neat_optax._checks.values import check_interval as check_interval
from neat_optax._checks.values import check_kind as check_kind
from neat_optax._checks.values import check_number as check_number
from neat_optax._checks.values import check_numbers as check_numbers
from neat_optax._checks.values import check_preference as check_preference
from neat_optax._checks.values import check_range as check_range
from neat_optax._checks.values import check_total as check_total
from neat_optax._checks.wrappers import (
    check_around_aggregator as check_around_aggregator,
)
