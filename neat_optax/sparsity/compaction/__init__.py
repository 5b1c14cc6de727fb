"""Removal of dead hidden units from Flax models."""

from neat_optax.sparsity.compaction._compact import Compacted as Compacted
from neat_optax.sparsity.compaction._compact import CompactionReport as CompactionReport
from neat_optax.sparsity.compaction._compact import compact as compact
from neat_optax.sparsity.compaction._compact import (
    search_compaction as search_compaction,
)
from neat_optax.sparsity.compaction._median_time import latency as latency
