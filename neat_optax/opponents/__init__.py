"""Reference directions for conflict detection: of one gradient, and between players."""

from neat_optax.conflict._opponents import History as History
from neat_optax.conflict._opponents import Opponent as Opponent
from neat_optax.conflict._opponents import blended as blended
from neat_optax.conflict._opponents import given as given
from neat_optax.conflict._opponents import gradient_ema as gradient_ema
from neat_optax.conflict._opponents import momentum as momentum
from neat_optax.conflict._opponents import previous_gradient as previous_gradient
from neat_optax.players._opponents import batch_mean as batch_mean
from neat_optax.players._opponents import others_mean as others_mean
from neat_optax.players._opponents import pairwise as pairwise
