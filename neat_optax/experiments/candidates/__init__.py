"""What is compared: optimizers, aggregators and ways of pruning, by name."""
