"""The benchmarks by name; only the one that is asked for is imported."""

import importlib

from neat_optax import _checks
from neat_optax.experiments.benchmarks.study import Benchmark

NAMES = {
    "quick": "the first minute: one problem in which it helps, and one in which not",
    "toy": "two objectives with a known Pareto front, and convex quadratics",
    "multitask": "tasks that share a network",
    "pinn": "terms of the loss of physics-informed networks",
    "examples": "examples with wrong labels",
    "optimizers": "a gradient against its own past, beside usual optimizers",
    "continual": "one task after the other",
    "plasticity": "a gain for each weight, and what is left out of it",
    "sparsity": "ways to prune",
    "evolution": "search without gradients",
    "speed": "time and memory beside other libraries",
}
"""What each is about."""


def find(name: str) -> Benchmark:
    """The benchmark of that name."""
    _checks.check_choice("name", name, tuple(NAMES))
    room = __name__.rpartition(".")[0]
    return importlib.import_module(f"{room}.{name}").BENCHMARK
