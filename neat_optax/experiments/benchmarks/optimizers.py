"""NEAT and its presets beside optimizers of others, each at its own best rate.

The small form takes minutes; `--full` has all images of Fashion-MNIST (and of CIFAR-10
where its files are), and takes about HOURS hours on two cores.
"""

import dataclasses
import functools
import hashlib
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

from neat_optax.experiments.benchmarks import optimizer_tables, optimizer_variants
from neat_optax.experiments.benchmarks.small_networks import (
    convolutions,
    small_transformer,
)
from neat_optax.experiments.benchmarks.study import Benchmark, Study
from neat_optax.experiments.benchmarks.trained import of_train
from neat_optax.experiments.candidates.candidate import Lineup
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data import datasets, text
from neat_optax.experiments.data.networks import Network
from neat_optax.experiments.data.parts import Data, Split
from neat_optax.experiments.data.tasks import make_task

CONTROLS = ("control",)
SHORT = (
    *CONTROLS,
    "neat",
    "adam",
    "adaptive",
    "adaptive-control",
    "muon",
    "cautious-adam",
    "schedule-free-adam",
)
"""Where a step is dear."""
LONG = (
    *SHORT,
    "random-sign",
    "adamw",
    "plain-lion",
    "cautious-sgd",
    "schedule-free-sgd",
)
ALL = (*LONG, "sgd", "adaptive-alpha", "adaptive-alpha-control", "lion", "lion-control")
MEASURES = {
    "conflict rate": "opposed",
    "conflict": "conflict",
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
    options = {"controls": CONTROLS, "notes": f"{_NOTES} {_RATES}", **options}
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
        about="which part of NEAT matters: a recipe with alpha 1, one part changed",
        lineup=optimizer_variants.ABLATION,
        controls=("alpha 0",),
    )
    published = on_digits(
        seeds,
        20,
        CONTROLS,
        name="digits-published",
        about="the original's table: digits, one rate each, the one it published",
        lineup=optimizer_variants.PUBLISHED,
        rates=optimizer_variants.RATES,
        controls=("off, rate 0.03",),
        notes="One rate each: what differs here are rates more than methods.",
    )
    return [on_digits(seeds, 20, ALL), ablation, published]


def _on_images(dataset: str, full: bool, folder: str | None) -> list[Study]:
    """A dense and a convolutional network, where the files of the images are."""
    try:
        load = functools.partial(datasets.load, dataset, folder=folder)
        data = load(fraction=1.0 if full else 0.05)
    except ValueError as error:
        if "files are here" not in str(error):
            raise
        return []
    shape = datasets.SHAPES[dataset]
    kept = data if full else _first(data, validation=1000, test=5000)
    small = kept if full else _halved(kept, shape)
    height, width, colors = shape
    halved = shape if full else (height // 2, width // 2, colors)
    common = {"seeds": 8, "data": kept, "dataset": dataset}
    return [
        on_images(**common, epochs=10 if full else 3, names=LONG),
        on_images(
            **{**common, "data": small, "seeds": 10 if full else 5},
            epochs=2,
            names=SHORT,
            network=convolutions(halved),
        ),
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
        controls=CONTROLS,
        lineup=_in_turn(names),
        measures=MEASURES,
        notes=f"{_NOTES} {_RATES}",
    )
    return _sized(study, data)


def on_characters(
    full: bool, names: Sequence[str] = SHORT, seeds: int = 5, epochs: int = 4
) -> Study:
    """A study on the documentation of Python, character by character."""
    written = documentation()[: None if full else 30_000]
    data = encoded(written)
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
        controls=CONTROLS,
        lineup=_in_turn(names),
        measures=MEASURES,
        notes=f"{_NOTES} {_RATES} The text is that of `help()` in the running Python "
        f"(SHA-256 {digest}...): another version of Python has another text.",
    )
    return _sized(study, data)


def documentation() -> str:
    """The text of `help()` on topics, which comes with Python."""
    from pydoc_data.topics import topics  # takes memory

    return "\n".join(topics[name] for name in sorted(topics))


def encoded(written: str) -> Data:
    """Windows of a text, as the data set `characters` has them."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "input.txt"
        file.write_bytes(written.encode())
        return text.encode_characters(text.read_characters(file))[0]


def _in_turn(names: Sequence[str]) -> Lineup:
    """The candidates, whose replicas a CPU trains faster one by one."""
    known = {name: OPTIMIZERS.candidates[name] for name in names}
    return OPTIMIZERS._replace(candidates=known, in_turn=True)


def _sized(study: Study, data: Data) -> Study:
    """A study that other sizes of the data make another."""
    sizes = {"examples": [len(part.y) for part in data]}
    return dataclasses.replace(study, settings={**study.settings, **sizes})


def _first(data: Data, validation: int, test: int) -> Data:
    def cut(split: Split, count: int) -> Split:
        return Split(split.x[:count], split.y[:count])

    return Data(data.train, cut(data.validation, validation), cut(data.test, test))


def _halved(data: Data, shape: tuple[int, int, int]) -> Data:
    """Images with the mean of 2 by 2 pixels in place of them."""
    height, width, colors = shape

    def halve(split: Split) -> Split:
        blocks = split.x.reshape(-1, height // 2, 2, width // 2, 2, colors)
        return split._replace(x=blocks.mean((2, 4)).reshape(len(split.x), -1))

    return Data(*map(halve, data))


BENCHMARK = Benchmark(
    "does it help to correct a gradient against its own past, beside the optimizers "
    "that are used?",
    studies,
    tables=optimizer_tables.tables,
)
