"""Sparse training: transformations that leave exact zeros in the parameters."""

from neat_optax.sparsity.proximal import prune_below as prune_below
from neat_optax.sparsity.proximal import soft_threshold as soft_threshold
