"""Where in a program a parameter meets data."""

from neat_optax._sites._costs import LeafCost as LeafCost
from neat_optax._sites._gradients import costs as costs
from neat_optax._sites._gradients import (
    value_and_factored_grads as value_and_factored_grads,
)
