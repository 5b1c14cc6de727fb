"""Transformations without a comparison; public names are those of `neat_optax`."""
