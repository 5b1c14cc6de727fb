"""Data sets by name, split and standardized.

Some come with scikit-learn, `yeast` with river; all others are read from files.
"""

import importlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from neat_optax.experiments.data import cifar, files, idx, noise, pairs, text
from neat_optax.experiments.data.parts import Data as Data
from neat_optax.experiments.data.parts import Split as Split

SEED = 42
"""Of how the parts are drawn, unless another is given."""
Folder = str | os.PathLike | None


def _standardize(data: Data, seed: int) -> Data:
    """Each feature by its mean and deviation in the training part."""
    from sklearn.preprocessing import StandardScaler  # its import takes time

    del seed
    scaler = StandardScaler().fit(data.train.x)
    return _map_inputs(scaler.transform, data)


def _standardize_pixels(data: Data, seed: int) -> Data:
    """One mean and deviation: a border pixel is dark almost always, and means little.

    Bytes need no copy in a wider type than the result.
    """
    del seed
    x = data.train.x
    mean, deviation = np.float32(x.mean()), np.float32(x.std())
    return _map_inputs(lambda x: (x - mean) / deviation, data)


def _paired(size: int, shift: int) -> Callable[[Data, int], Data]:
    """Pairs within each part, so that no image is in two of them."""

    def prepare(data: Data, seed: int) -> Data:
        made = (
            Split(*pairs.make_pairs(*part, seed=seed + i, size=size, shift=shift))
            for i, part in enumerate(data)
        )
        return _standardize_pixels(Data(*made), seed)

    return prepare


def _encoded(encode: Callable[[Data], tuple[Data, Any]]) -> Callable:
    return lambda data, seed: encode(data)[0]  # noqa: ARG005


def _map_inputs(scale: Callable[[np.ndarray], Any], data: Data) -> Data:
    return Data(*(Split(np.asarray(scale(x), np.float32), y) for x, y in data))


class Source(NamedTuple):
    """A data set as it comes."""

    examples: Split
    test: Split | None = None  # a part of its own
    validation: Split | None = None  # likewise
    prepare: Callable[[Data, int], Data] = _standardize  # once the parts are made


def _yeast(folder: Folder) -> Source:
    """Elisseeff and Weston 2002: 2417 genes, 103 features, 14 labels each, 0 or 1."""
    del folder
    try:
        from river.datasets import Yeast
    except ImportError as error:
        raise ValueError(
            "`dataset` must be one whose package is installed, got yeast, which needs "
            'river: pip install "neat-optax[yeast]".'
        ) from error
    rows = list(Yeast())
    features = np.asarray([list(x.values()) for x, _ in rows], np.float32)
    labels = np.asarray([list(y.values()) for _, y in rows], np.int32)
    return Source(Split(features, labels))


def _of_sklearn(
    reader: str, prepare: Callable = _standardize
) -> Callable[[Folder], Source]:
    def source(folder: Folder):
        del folder
        bunch = _bundled(reader)
        return Source(Split(bunch.data, bunch.target), prepare=prepare)

    return source


def _bundled(reader: str) -> Any:
    return getattr(importlib.import_module("sklearn.datasets"), reader)()


def _worst_cells(folder: Folder) -> Source:
    """Of `breast-cancer`: what its worst cells measure, from means and errors of all.

    Ten measures with variances from 3e-4, of a fractal dimension, to 3e5, of an area.
    """
    del folder
    bunch = _bundled("load_breast_cancer")
    return Source(Split(bunch.data[:, :20], np.float32(bunch.data[:, 20:])))


def _of_images(
    read_parts: Callable, name: str, prepare: Callable = _standardize_pixels
) -> Callable[[Folder], Source]:
    def source(folder: Folder):
        examples, test = (Split(*part) for part in read_parts(name, folder))
        return Source(examples, test, prepare=prepare)

    return source


def _sst2(folder: Folder) -> Source:
    """Socher et al. 2013, as GLUE has it: the labeled `dev.tsv` is the test part."""
    choices = [(f"SST-2/{file}", file) for file in ("train.tsv", "dev.tsv")]
    paths = files.find("sst-2", choices, folder)
    return Source(
        *map(text.read_sentences, paths), prepare=_encoded(text.encode_sentences)
    )


def _characters(folder: Folder) -> Source:
    (path,) = files.find("characters", [("input.txt",)], folder)
    train, validation, test = text.read_characters(path)
    return Source(train, test, validation, _encoded(text.encode_characters))


LOADERS: dict[str, Callable[[Folder], Source]] = {
    "digits": _of_sklearn("load_digits"),
    "breast-cancer": _of_sklearn("load_breast_cancer"),
    "wine": _of_sklearn("load_wine"),
    "yeast": _yeast,
    "multi-digits": _of_sklearn("load_digits", _paired(10, 1)),
    "worst-cells": _worst_cells,
    "mnist": _of_images(idx.read_parts, "mnist"),
    "fashion-mnist": _of_images(idx.read_parts, "fashion-mnist"),
    "multi-fashion": _of_images(
        idx.read_parts, "fashion-mnist", _paired(pairs.SIZE, pairs.SHIFT)
    ),
    "cifar-10": _of_images(cifar.read_parts, "cifar-10"),
    "cifar-100": _of_images(cifar.read_parts, "cifar-100"),
    "sst-2": _sst2,
    "characters": _characters,
}
TARGETS = ("worst-cells",)
"""Data sets with several numbers to predict for each example."""
MULTI_LABEL = ("yeast", "multi-digits", "multi-fashion", *TARGETS)
"""Data sets with several labels, or numbers, for each example."""
SHAPES = {
    "digits": (8, 8, 1),
    "mnist": (28, 28, 1),
    "fashion-mnist": (28, 28, 1),
    "multi-digits": (10, 10, 1),
    "multi-fashion": (pairs.SIZE, pairs.SIZE, 1),
    "cifar-10": (32, 32, 3),
    "cifar-100": (32, 32, 3),
}
"""Of the images of a data set: height, width, colors."""
TEXTS = ("sst-2", "characters")
"""Data sets whose inputs are tokens."""


def load(
    name: str,
    fraction: float = 1.0,
    folder: Folder = None,
    seed: int = SEED,
    *,
    label_noise: float = 0.0,
) -> Data:
    """Loads a data set by its name in `LOADERS`.

    The split is the same for the same seed, and stratified where an example has one
    label; mean and deviation, and the words of a text, are those of the training part.

    Args:
      name: of the data set.
      fraction: share of the training part that is kept, at least one example of each
        label; the other parts stay whole.
      folder: with the files of a data set that is read from files; without one, that
        of the environment variable `NEAT_OPTAX_DATA`.
      seed: of the split, and of how images are paired. A part that a data set has of
        its own stays the same, and so does a text that is divided by position.
      label_noise: share of the labels to train and to select by that are replaced by
        another class, as `noise.replace_labels` does it; those to report are right.

    Raises:
      ValueError: if a package or a file is missing, or a file is damaged; it says
        which.
    """
    source = LOADERS[name](folder)
    train, validation, test = _divide(source, seed)
    data = source.prepare(Data(_keep(train, fraction, seed), validation, test), seed)
    made = Data(*(Split(x, _numbers(y)) for x, y in data))
    return noise.with_noise(made, label_noise, seed) if label_noise else made


def _numbers(y: np.ndarray) -> np.ndarray:
    return y if y.dtype == np.float32 else y.astype(np.int32)


def _divide(source: Source, seed: int) -> tuple[Split, Split, Split]:
    rest, validation, test = source.examples, source.validation, source.test
    if test is None:
        rest, test = _hold_out(rest, 0.2, seed)
        return *_hold_out(rest, 0.25, seed), test
    if validation is None:
        rest, validation = _hold_out(rest, len(test.y), seed)
    return rest, validation, test


def _hold_out(split: Split, size: float | int, seed: int) -> tuple[Split, Split]:
    from sklearn.model_selection import train_test_split  # its import takes time

    stratify = split.y if split.y.ndim == 1 else None
    x, x_held, y, y_held = train_test_split(
        split.x, split.y, test_size=size, stratify=stratify, random_state=seed
    )
    return Split(x, y), Split(x_held, y_held)


def _keep(split: Split, fraction: float, seed: int) -> Split:
    """A share of the examples, in which every label occurs."""
    count = len(split.y)
    fewest = len(np.unique(split.y)) if split.y.ndim == 1 else 1
    left_out = count - max(fewest, round(fraction * count))
    return split if left_out < fewest else _hold_out(split, left_out, seed)[0]
