"""Plasticity of each weight: what it adds, where data are few, and what of it matters.

The small form takes a quarter of an hour of a core; `--full` has all images of
Fashion-MNIST, and takes about 3 hours of a core: an estimate from single steps.
"""

from collections.abc import Sequence
from typing import Any

from neat_optax.experiments.benchmarks import plasticity_tuning, small_data
from neat_optax.experiments.benchmarks.study import Benchmark, Study
from neat_optax.experiments.benchmarks.trained import of_train
from neat_optax.experiments.candidates.candidate import Candidate, Lineup, Setting
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.candidates.plasticities import (
    NEUROPLASTIC_RATE,
    OPTIONS,
    recipe,
)
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data import datasets
from neat_optax.experiments.data.parts import Data
from neat_optax.experiments.data.tasks import make_task

CONTROLS = ("neuroplastic-off", "neuroplastic-control", "sgd", "adam")
METHODS = (*CONTROLS, "neuroplastic", "adam-modulated")
SIGNALS = ("activity", "gradient", "memory")
FRACTIONS = (0.1, 0.3, 1.0)
STEPS_LIKE = 10  # epochs of all examples: parts of them take as many steps
_NOTES = (
    "`neuroplastic-off` is the recipe with coefficients of 1, `neuroplastic-control` "
    "with those of the gradient alone, in the same bounds. Five rates each, a "
    "factor of about three apart."
)


def _variant(about: str, **options: Any) -> Candidate:
    def build(rate: Any, setting: Setting):
        return recipe(rate, options, monitor=setting.watched)

    return Candidate(build, NEUROPLASTIC_RATE, None, about)


def weights(without: str) -> dict[str, float]:
    """Of the signals that stay where one is left out, scaled up to a sum of 1.

    Args:
      without: gradient, activity or memory.
    """
    given = {name: OPTIONS[f"{name}_weight"] for name in SIGNALS}
    total = sum(given.values()) - given[without]
    left = {name: x / total for name, x in given.items()} | {without: 0.0}
    return {f"{name}_weight": x for name, x in left.items()}


ABLATION: Lineup = OPTIMIZERS._replace(
    candidates={
        "full": _variant("three signals, bounds 0.2 and 2, each leaf clipped"),
        "off": _variant("coefficients of 1", minimum=1.0, maximum=1.0),
        "without activity": _variant("others scaled up", **weights("activity")),
        "without gradient": _variant("others scaled up", **weights("gradient")),
        "without memory": _variant("others scaled up", **weights("memory")),
        "narrow bounds": _variant("0.5 and 1.5", minimum=0.5, maximum=1.5),
        "wide bounds": _variant("0 and 10", minimum=0.0, maximum=10.0),
        "without clip": _variant("no bound on a leaf", max_norm=None),
        "stabilized": _variant("root mean square near 0.02", target_rms=0.02),
        "twice as strong": _variant("strength 2", strength=2.0),
    }
)
"""The recipe with one part changed."""


def studies(full: bool, folder: str | None) -> list[Study]:
    """Those on digits, and on Fashion-MNIST where its files are found.

    Args:
      full: whether on all images.
      folder: with the files of data sets.
    """
    seeds = 20 if full else 8
    digits = [on_digits(fraction, seeds) for fraction in FRACTIONS]
    images = small_data.images("fashion-mnist", folder, 1.0 if full else 0.05)
    if images is not None:
        kept = images if full else small_data.first(images, 1000, 5000)
        digits.append(on_images(kept, 8, 10 if full else 3))
    return [*digits, ablation(seeds), plasticity_tuning.study(seeds if full else 5)]


def on_digits(
    fraction: float, seeds: int, names: Sequence[str] = METHODS, epochs: int = 0
) -> Study:
    """A study on a share of the digits, of as many steps whatever the share is."""
    epochs = epochs or round(STEPS_LIKE / fraction)
    config = TrainConfig(
        dataset="digits",
        fraction=fraction,
        optimizers=tuple(names),
        seeds=seeds,
        epochs=epochs,
        batch_size=32,
    )
    data = datasets.load("digits", fraction)
    return of_train(
        f"digits-{fraction:g}",
        f"{len(data.train.y)} digits, a dense network, {epochs} epochs",
        config,
        data,
        make_task(data),
        controls=CONTROLS,
        measures={},
        watched=False,
        notes=_NOTES,
    )


def on_images(
    data: Data, seeds: int, epochs: int, names: Sequence[str] = METHODS
) -> Study:
    """A study on images of clothes, by a dense network."""
    config = TrainConfig(
        dataset="fashion-mnist", optimizers=tuple(names), seeds=seeds, epochs=epochs
    )
    candidates = {name: OPTIMIZERS.candidates[name] for name in names}
    made = of_train(
        "fashion-mnist",
        f"{len(data.train.y)} images of Fashion-MNIST, a dense network, "
        f"{epochs} epochs",
        config,
        data,
        make_task(data),
        controls=CONTROLS,
        lineup=OPTIMIZERS._replace(candidates=candidates, in_turn=True),
        measures={},
        watched=False,
        notes=_NOTES,
    )
    return small_data.sized(made, data)


def ablation(seeds: int) -> Study:
    """What each part of the recipe is worth."""
    config = TrainConfig(
        dataset="digits",
        optimizers=CONTROLS,
        seeds=seeds,
        epochs=STEPS_LIKE,
        batch_size=32,
    )
    data = datasets.load("digits")
    return of_train(
        "digits-ablation",
        "which part of the recipe matters: one signal left out, other bounds, other "
        f"bounds of a step; all digits, {STEPS_LIKE} epochs",
        config,
        data,
        make_task(data),
        controls=("full", "off"),
        lineup=ABLATION,
        measures={},
        watched=False,
        notes="Held against the full recipe: worse is what a part left out was worth.",
    )


BENCHMARK = Benchmark(
    "Does a gain for each weight help, and which of its signals does?",
    studies,
    tables=plasticity_tuning.tables,
)
