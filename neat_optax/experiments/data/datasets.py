"""Data sets, split and standardized.

Most come with scikit-learn, `yeast` with river; `fashion-mnist` is read from files.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from neat_optax.experiments.data import idx


class Split(NamedTuple):
    """Inputs and labels."""

    x: Any  # [examples, features] float32, standardized
    y: Any  # [examples] int32, or [examples, labels] int32 of 0 and 1


class Data(NamedTuple):
    """Three disjoint parts: 60 % to train, 20 % to select by, 20 % to report.

    Where a set has a test part of its own, that is kept, and as many examples are
    selected by.
    """

    train: Split
    validation: Split
    test: Split

    @property
    def multi_label(self) -> bool:
        """Whether an example has several labels, each present or absent."""
        return self.train.y.ndim == 2

    @property
    def num_classes(self) -> int:
        """How many labels there are."""
        y = self.train.y
        return y.shape[1] if self.multi_label else int(y.max()) + 1


class Source(NamedTuple):
    """A data set as it comes."""

    examples: Split
    test: Split | None = None  # a part of its own
    pixels: bool = False  # whether all features share one scale


def _yeast() -> Source:
    """Elisseeff and Weston 2002: 2417 genes, 103 features, 14 labels each, 0 or 1."""
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


def _of_sklearn(read: Callable[[], Any]) -> Callable[[], Source]:
    def source():
        bunch = read()
        return Source(Split(bunch.data, bunch.target))

    return source


def _of_idx(name: str) -> Callable[[], Source]:
    def source():
        examples, test = (Split(*part) for part in idx.read_parts(name))
        return Source(examples, test, pixels=True)

    return source


LOADERS = {
    "digits": _of_sklearn(datasets.load_digits),
    "breast-cancer": _of_sklearn(datasets.load_breast_cancer),
    "wine": _of_sklearn(datasets.load_wine),
    "yeast": _yeast,
    "fashion-mnist": _of_idx("fashion-mnist"),
}
MULTI_LABEL = ("yeast",)
"""Data sets with several labels for each example, each present or absent."""


def load(name: str, fraction: float = 1.0) -> Data:
    """Loads a data set by its name in `LOADERS`.

    The split is always the same, and stratified where an example has one label; mean
    and deviation are those of the training part.

    Args:
      name: of the data set.
      fraction: share of the training part that is kept, at least one example of each
        label; the other parts stay whole.
    """
    source = LOADERS[name]()
    if source.test is None:
        rest, test = _hold_out(source.examples, 0.2)
        train, validation = _hold_out(rest, 0.25)
    else:
        test = source.test
        train, validation = _hold_out(source.examples, len(test.y))
    train = _keep(train, fraction)
    scale = _scale_pixels(train.x) if source.pixels else _scale_columns(train.x)

    def part(split: Split) -> Split:
        return Split(np.asarray(scale(split.x), np.float32), split.y.astype(np.int32))

    return Data(part(train), part(validation), part(test))


def _hold_out(split: Split, size: float | int) -> tuple[Split, Split]:
    stratify = split.y if split.y.ndim == 1 else None
    x, x_held, y, y_held = train_test_split(
        split.x, split.y, test_size=size, stratify=stratify, random_state=42
    )
    return Split(x, y), Split(x_held, y_held)


def _keep(split: Split, fraction: float) -> Split:
    """A share of the examples, in which every label occurs."""
    count = len(split.y)
    fewest = len(np.unique(split.y)) if split.y.ndim == 1 else 1
    left_out = count - max(fewest, round(fraction * count))
    return split if left_out < fewest else _hold_out(split, left_out)[0]


def _scale_columns(x: np.ndarray) -> Callable[[np.ndarray], Any]:
    return StandardScaler().fit(x).transform


def _scale_pixels(x: np.ndarray) -> Callable[[np.ndarray], Any]:
    """One mean and deviation: a border pixel is dark almost always, and means little.

    Bytes need no copy in a wider type than the result.
    """
    mean, deviation = np.float32(x.mean()), np.float32(x.std())
    return lambda x: (x - mean) / deviation
