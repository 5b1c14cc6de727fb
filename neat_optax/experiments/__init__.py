"""The command line and its runs; of them, what a user's own program reads."""

from neat_optax.experiments.runs.opening import Checkpoint as Checkpoint
from neat_optax.experiments.runs.opening import load_checkpoint as load_checkpoint
from neat_optax.experiments.runs.reading import Measure as Measure
from neat_optax.experiments.runs.reading import Run as Run
from neat_optax.experiments.runs.reading import read_run as read_run
