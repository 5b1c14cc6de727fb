"""One gradient against an opponent; its public names are those of `neat_optax`."""
