"""The configurations and presets of neat-optim, under its names."""

from neat_optax.compat._build import from_config as from_config
from neat_optax.compat._configs import NEATConfig as NEATConfig
from neat_optax.compat._configs import PlayerNEATConfig as PlayerNEATConfig
from neat_optax.compat._presets import neat_adaptive as neat_adaptive
from neat_optax.compat._presets import neat_adaptive_alpha as neat_adaptive_alpha
from neat_optax.compat._presets import neat_light as neat_light
from neat_optax.compat._presets import neat_lion as neat_lion
