"""Leaves of gradients with a player axis that are kept as factors."""

from neat_optax._factored._layout import Layout as Layout
from neat_optax._factored._leaf import Factored as Factored
from neat_optax._factored._trees import Opened as Opened
from neat_optax._factored._trees import closed as closed
from neat_optax._factored._trees import divide as divide
from neat_optax._factored._trees import explicit as explicit
from neat_optax._factored._trees import flatten as flatten
from neat_optax._factored._trees import is_factored as is_factored
from neat_optax._factored._trees import specs as specs
from neat_optax._factored._trees import tree_map as tree_map
