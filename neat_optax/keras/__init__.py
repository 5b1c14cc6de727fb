"""Optax chains as Keras 3 optimizers, on Keras's JAX backend.

Imported by itself, as `neat_optax.keras`: `import neat_optax` loads no Keras.
"""

from neat_optax.keras import _backend as _backend  # first: Keras reads its backend once
from neat_optax.keras._diagnostics import DiagnosticsCallback as DiagnosticsCallback
from neat_optax.keras._neat import NEAT as NEAT
from neat_optax.keras._optimizer import OptaxOptimizer as OptaxOptimizer
from neat_optax.keras._players import ExamplePlayers as ExamplePlayers
from neat_optax.keras._players import TaskPlayers as TaskPlayers
