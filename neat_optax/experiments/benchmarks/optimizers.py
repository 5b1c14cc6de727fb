"""NEAT and its presets beside optimizers of others, each at its own best rate.

The small form takes half an hour of a core; `--full` has all images of Fashion-MNIST,
and of CIFAR-10 where its files are, and takes about 10 hours of a core with the first
and 30 with both: an estimate from single steps.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from neat_optax.experiments.benchmarks import (
    optimizer_tables,
    optimizer_variants,
    small_data,
)
from neat_optax.experiments.benchmarks.small_networks import (
    convolutions,
    small_transformer,
)
from neat_optax.experiments.benchmarks.study import Benchmark, Study
from neat_optax.experiments.benchmarks.trained import of_train
from neat_optax.experiments.candidates.candidate import Lineup
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data import datasets
from neat_optax.experiments.data.networks import Network
from neat_optax.experiments.data.parts import Data
from neat_optax.experiments.data.tasks import make_task

CONTROLS = ("control",)
BESIDE = (*CONTROLS, "adam")
"""Which is a control in every study, since it is what most would take instead."""
SHORT = (
    *CONTROLS,
    "neat",
    "adam",
    "adaptive",
    "adaptive-control",
    "muon",
)
"""Where a step is dear."""
LONG = (
    *SHORT,
    "random-sign",
    "adamw",
    "plain-lion",
    "cautious-adam",
    "schedule-free-adam",
)
OF_SGD = ("sgd", "cautious-sgd", "schedule-free-sgd")
ALL = (
    *LONG,
    *OF_SGD,
    "adaptive-alpha",
    "adaptive-alpha-control",
    "lion",
    "lion-control",
)
MEASURES = {
    "conflict rate": "opposed",
    "depth of conflict": "conflict",
    "correction": "correction_ratio",
}
_NOTES = (
    "The conflict of a gradient is with an average of those before it: with the "
    "momentum that a method of NEAT's corrects against, with a plain average for all "
    "others. Batches of one epoch share no example, so part of any conflict is noise."
)
_RATES = "Five rates each, a factor of about three apart."


def studies(full: bool, folder: str | None) -> list[Study]:
    """Those on data that come with packages, and those whose files are found.

    Args:
      full: whether as large as in the papers.
      folder: with the files of data sets.
    """
    found = [
        *_on_digits(20 if full else 10),
        *_on_images("fashion-mnist", full, folder),
        *_on_images("cifar-10", full, folder),
    ]
    return [*found, on_characters(full)]


def on_digits(seeds: int, epochs: int, names: Sequence[str], **options: Any) -> Study:
    """A study on the digits of scikit-learn."""
    config = TrainConfig(
        dataset="digits", optimizers=tuple(names), seeds=seeds, epochs=epochs
    )
    data = datasets.load("digits")
    options = {"controls": BESIDE, "notes": f"{_NOTES} {_RATES}", **options}
    return of_train(
        options.pop("name", "digits"),
        options.pop("about", f"1797 digits, a dense network, {epochs} epochs"),
        config,
        data,
        make_task(data),
        measures=MEASURES,
        **options,
    )


def _on_digits(seeds: int) -> list[Study]:
    ablation = on_digits(
        seeds,
        20,
        CONTROLS,
        name="digits-ablation",
        about="Which part of NEAT matters: a recipe with alpha 1, one part changed",
        lineup=optimizer_variants.ABLATION,
        controls=("alpha 0",),
    )
    published = on_digits(
        seeds,
        20,
        CONTROLS,
        name="digits-published",
        about="The original's table: digits, one rate each, the one it published",
        lineup=optimizer_variants.PUBLISHED,
        rates=optimizer_variants.RATES,
        controls=optimizer_variants.UNCORRECTED,
        notes="One rate each, as published: what differs here are rates more than "
        "methods. Each method with a correction has a control of its own.",
    )
    return [on_digits(seeds, 20, ALL), ablation, published]


def _on_images(dataset: str, full: bool, folder: str | None) -> list[Study]:
    """A dense and a convolutional network, where the files of the images are."""
    data = small_data.images(dataset, folder, 1.0 if full else 0.05)
    if data is None:
        return []
    height, width, colors = shape = datasets.SHAPES[dataset]
    if full:
        dense = on_images(dataset, data, 8, 10, LONG)
        return [dense, on_images(dataset, data, 10, 2, SHORT, convolutions(shape))]
    data = small_data.first(data, validation=1000, test=5000)
    halved = convolutions((height // 2, width // 2, colors))
    return [
        on_images(dataset, data, 8, 3, LONG),
        on_images(dataset, small_data.halved(data, shape), 5, 2, SHORT, halved),
    ]


def on_images(
    dataset: str,
    data: Data,
    seeds: int,
    epochs: int,
    names: Sequence[str],
    network: Network | None = None,
) -> Study:
    """A study on images, by a dense network unless another is given."""
    kind = "mlp" if network is None else "cnn"
    config = TrainConfig(
        dataset=dataset, optimizers=tuple(names), seeds=seeds, epochs=epochs
    )
    count, pixels = data.train.x.shape
    study = of_train(
        f"{dataset}-{kind}",
        f"{count} images of {dataset} of {pixels} numbers, "
        f"{'dense' if network is None else 'convolutions'}, {epochs} epochs",
        config,
        data,
        make_task(data, network=network or config.network),
        controls=BESIDE,
        lineup=_in_turn(names),
        measures=MEASURES,
        notes=f"{_NOTES} {_RATES}",
    )
    return small_data.sized(study, data)


def on_characters(
    full: bool, names: Sequence[str] = SHORT, seeds: int = 5, epochs: int = 4
) -> Study:
    """A study on the documentation of Python, character by character."""
    written = small_data.documentation()[: None if full else 30_000]
    data = small_data.encoded(written)
    config = TrainConfig(
        dataset="characters",
        optimizers=tuple(names),
        seeds=seeds,
        epochs=epochs,
        batch_size=16,
    )
    digest = hashlib.sha256(written.encode()).hexdigest()[:16]
    study = of_train(
        "characters",
        f"the next character of {len(written)} of Python's documentation, a "
        f"transformer of one block, {epochs} epochs",
        config,
        data,
        make_task(data, network=small_transformer),
        controls=BESIDE,
        lineup=_in_turn(names),
        measures=MEASURES,
        notes=f"{_NOTES} {_RATES} The text is that of `help()` in the running Python "
        f"(SHA-256 {digest}...): another version of Python has another text.",
    )
    return small_data.sized(study, data)


def _in_turn(names: Sequence[str]) -> Lineup:
    """The candidates, whose replicas a CPU trains faster one by one."""
    known = {name: OPTIMIZERS.candidates[name] for name in names}
    return OPTIMIZERS._replace(candidates=known, in_turn=True)


BENCHMARK = Benchmark(
    "Does it help to correct a gradient against its own past, beside the optimizers "
    "that are used?",
    studies,
    tables=optimizer_tables.tables,
)
