"""Terms of the loss of physics-informed networks: residual, start and sides.

Five equations, by the protocol of the ConFIG paper: a tanh network by Xavier's rule,
points drawn anew in every step by Latin hypercube sampling, a rate that warms up and
falls as a cosine to a tenth, two or three terms. The learning rate is tried, not given.
A random half of the reference's points selects it, the other half is tested once.

The small form takes about 40 core minutes. In the paper's sizes one method, at three
rates with three seeds, takes about 15 core hours on Burgers' equation and 300 on
Beltrami's flow, at .2 and 1.2 core seconds a step: a task for an accelerator, study by
study with `--study`.
"""

import pathlib
from typing import Any

from neat_optax.experiments.benchmarks.pinn import questions as _questions
from neat_optax.experiments.benchmarks.study import Benchmark


def _pictures(result: dict[str, Any], folder: pathlib.Path) -> None:
    from neat_optax.experiments.benchmarks.pinn import pictures  # takes time to load

    pictures.draw(result, folder)


BENCHMARK = Benchmark(
    about="Do corrections between the terms of the loss of a physics-informed network "
    "help, beside optimizers that precondition?",
    studies=_questions.studies,
    pictures=_pictures,
    tables=_questions.tables,
)
