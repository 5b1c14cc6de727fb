"""The first minute: a problem in which methods help, and one in which none does.

Both in small parts of their benchmarks, `pinn` and `optimizers`.
"""

import dataclasses

from neat_optax.experiments.benchmarks.pinn import questions as equations
from neat_optax.experiments.benchmarks.study import Benchmark, Study
from neat_optax.experiments.benchmarks.trained import of_train
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data import datasets
from neat_optax.experiments.data.tasks import make_task

SEEDS = 5


def studies(full: bool, data: str | None) -> list[Study]:
    """Burgers' equation, and scikit-learn's digits.

    Args:
      full: makes no difference.
      data: is not used.
    """
    del full, data
    return [equations.first_look(), _digits()]


def _digits() -> Study:
    config = TrainConfig(
        dataset="digits", optimizers=("control", "neat"), epochs=5, seeds=SEEDS
    )
    parts = datasets.load(config.dataset)
    study = of_train(
        "digits",
        "Scikit-learn's digits, a network with two hidden layers, 5 epochs. A gradient "
        "is held against its own momentum; control is the same with alpha 0",
        config,
        parts,
        make_task(parts),
        controls=("control",),
        measures={"opposed": "opposed", "correction": "correction_ratio"},
    )
    return dataclasses.replace(study, step=None)


BENCHMARK = Benchmark(
    about="Where does it help, and where not? One look at each, in a minute",
    studies=studies,
)
