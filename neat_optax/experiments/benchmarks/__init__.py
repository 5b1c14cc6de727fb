"""Benchmarks: methods tuned equally, held against controls, with their intervals."""
