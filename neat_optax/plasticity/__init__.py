"""Plasticity: bounded gains for single weights, from gradients and their past."""

from neat_optax.plasticity._modulate import Target as Target
from neat_optax.plasticity._modulate import gain as gain
from neat_optax.plasticity._modulate import modulate as modulate
from neat_optax.plasticity._modulate import momentum_target as momentum_target
from neat_optax.plasticity._modulate import trust_ratio as trust_ratio
from neat_optax.plasticity._rates import modulate_rate as modulate_rate
from neat_optax.plasticity._recipe import neuroplastic as neuroplastic
from neat_optax.plasticity._residuals import bound_residual as bound_residual
from neat_optax.plasticity._residuals import orthogonal_residual as orthogonal_residual
from neat_optax.plasticity._scale import coefficients as coefficients
from neat_optax.plasticity._scale import scale_by_plasticity as scale_by_plasticity
from neat_optax.plasticity._signals import Average as Average
from neat_optax.plasticity._signals import Signal as Signal
from neat_optax.plasticity._signals import activity as activity
from neat_optax.plasticity._signals import gradient as gradient
from neat_optax.plasticity._signals import memory as memory
from neat_optax.plasticity._stabilize import GainRule as GainRule
from neat_optax.plasticity._stabilize import clip_leaf_norm as clip_leaf_norm
from neat_optax.plasticity._stabilize import homeostatic as homeostatic
from neat_optax.plasticity._stabilize import memoryless as memoryless
from neat_optax.plasticity._stabilize import stabilize as stabilize
