"""Searching parameters by values of the loss alone."""

from neat_optax.evolution.distributions import Gaussian as Gaussian
from neat_optax.evolution.distributions import init_gaussian as init_gaussian
from neat_optax.evolution.distributions import (
    pgpe_value_and_grad as pgpe_value_and_grad,
)
from neat_optax.evolution.distributions import snes_sigma_rate as snes_sigma_rate
from neat_optax.evolution.distributions import (
    snes_value_and_grad as snes_value_and_grad,
)
from neat_optax.evolution.shaping import Shaping as Shaping
from neat_optax.evolution.shaping import centred_ranks as centred_ranks
from neat_optax.evolution.shaping import nes_utilities as nes_utilities
from neat_optax.evolution.shaping import raw as raw
from neat_optax.evolution.shaping import standardised as standardised
from neat_optax.evolution.strategies import es_value_and_grad as es_value_and_grad
