"""Conflict of one gradient with a reference direction, and its correction.

Its public names are those of `neat_optax`.
"""
