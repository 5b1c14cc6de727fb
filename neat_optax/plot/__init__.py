"""Pictures of players, layers and diagnoses.

They need matplotlib, which is imported when a picture is drawn.
"""

from neat_optax.plot._diagnosis import diagnosis as diagnosis
from neat_optax.plot._diagnostics import diagnostics as diagnostics
from neat_optax.plot._front import front as front
from neat_optax.plot._layers import norms as norms
from neat_optax.plot._pairs import conflict as conflict
from neat_optax.plot._pairs import cosines as cosines
