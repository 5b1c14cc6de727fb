"""Leaves of gradients with a player axis that are kept as factors."""

from neat_optax._factored._layout import Layout as Layout
from neat_optax._factored._leaf import Factored as Factored
from neat_optax._factored._leaf import explicit as explicit
from neat_optax._factored._leaf import flatten as flatten
from neat_optax._factored._leaf import is_factored as is_factored
from neat_optax._factored._leaf import specs as specs
from neat_optax._factored._leaf import tree_map as tree_map
