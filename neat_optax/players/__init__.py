"""Gradients with a player axis; what is not here is in `neat_optax` itself."""

from neat_optax._sites import LeafCost as LeafCost
from neat_optax.players._consistent import (
    value_and_consmtl_grads as value_and_consmtl_grads,
)
from neat_optax.players._explain import Explanation as Explanation
from neat_optax.players._gramian_form import neat_weights as neat_weights
from neat_optax.players._sharpness import value_and_samo_grads as value_and_samo_grads
from neat_optax.players._traces import ntk_traces as ntk_traces
