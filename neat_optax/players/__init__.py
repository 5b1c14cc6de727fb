"""Gradients with a player axis; what is not here is in `neat_optax` itself."""

from neat_optax.players._gramian_form import neat_weights as neat_weights
