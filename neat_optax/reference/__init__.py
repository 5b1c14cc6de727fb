"""The oracle: NEAT in NumPy and float64, one tensor at a time.

Written from the formulas of docs/math.md by the longest route: every vector is formed,
every norm is taken of a vector. It imports nothing but NumPy, and nothing of the
package imports it. Configurations are read by their field names.
"""

from neat_optax.reference._players import PlayerStep as PlayerStep
from neat_optax.reference._players import neat_player_step as neat_player_step
from neat_optax.reference._single import State as State
from neat_optax.reference._single import Step as Step
from neat_optax.reference._single import neat_step as neat_step
from neat_optax.reference._single import zeros_like as zeros_like
