"""Sparse training: transformations that leave exact zeros in the parameters."""

from neat_optax._granularity import Granularity as Granularity
from neat_optax._granularity import arrays as arrays
from neat_optax._granularity import blocks as blocks
from neat_optax._granularity import entries as entries
from neat_optax._granularity import units as units
from neat_optax._leaves import is_kernel as is_kernel
from neat_optax.sparsity._allocation import Allocation as Allocation
from neat_optax.sparsity._allocation import erdos_renyi_kernel as erdos_renyi_kernel
from neat_optax.sparsity._allocation import uniform as uniform
from neat_optax.sparsity._feedback import Control as Control
from neat_optax.sparsity._feedback import Level as Level
from neat_optax.sparsity._feedback import adapt_level as adapt_level
from neat_optax.sparsity._feedback import adapt_pruning as adapt_pruning
from neat_optax.sparsity._feedback import bang_bang as bang_bang
from neat_optax.sparsity._feedback import proportional as proportional
from neat_optax.sparsity._feedback import start_level as start_level
from neat_optax.sparsity._fixed import keep_mask as keep_mask
from neat_optax.sparsity._fixed import nonzero as nonzero
from neat_optax.sparsity._fixed import straight_through as straight_through
from neat_optax.sparsity._masks import apply_mask as apply_mask
from neat_optax.sparsity._masks import make_mask as make_mask
from neat_optax.sparsity._n_of_m import n_of_m as n_of_m
from neat_optax.sparsity._n_of_m import n_of_m_mask as n_of_m_mask
from neat_optax.sparsity._proximal import elastic_net as elastic_net
from neat_optax.sparsity._proximal import group_lasso as group_lasso
from neat_optax.sparsity._proximal import hard_threshold as hard_threshold
from neat_optax.sparsity._proximal import nonnegative_lasso as nonnegative_lasso
from neat_optax.sparsity._proximal import prune_below as prune_below
from neat_optax.sparsity._proximal import soft_threshold as soft_threshold
from neat_optax.sparsity._prune import prune_to_sparsity as prune_to_sparsity
from neat_optax.sparsity._regrow import grow_and_prune as grow_and_prune
from neat_optax.sparsity._report import LeafSparsity as LeafSparsity
from neat_optax.sparsity._report import leaf_sparsities as leaf_sparsities
from neat_optax.sparsity._report import sparsity as sparsity
from neat_optax.sparsity._report import summary as summary
from neat_optax.sparsity._report import to_bcoo as to_bcoo
from neat_optax.sparsity._scores import Score as Score
from neat_optax.sparsity._scores import Weight as Weight
from neat_optax.sparsity._scores import activity as activity
from neat_optax.sparsity._scores import gradient_magnitude as gradient_magnitude
from neat_optax.sparsity._scores import magnitude as magnitude
from neat_optax.sparsity._scores import movement as movement
from neat_optax.sparsity._scores import random as random
from neat_optax.sparsity._scores import saliency as saliency
from neat_optax.sparsity._scores import snip as snip
from neat_optax.sparsity.compaction._compact import Compacted as Compacted
from neat_optax.sparsity.compaction._compact import CompactionReport as CompactionReport
from neat_optax.sparsity.compaction._compact import compact as compact
from neat_optax.sparsity.compaction._compact import latency as latency
from neat_optax.sparsity.compaction._compact import (
    search_compaction as search_compaction,
)
from neat_optax.transforms._pass_gradient import pass_gradient as pass_gradient
