"""Data sets that come with scikit-learn and river, split and standardised."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


def _yeast() -> tuple[np.ndarray, np.ndarray]:
    """Elisseeff and Weston 2002: 2417 genes, 103 features, 14 labels each, 0 or 1."""
    try:
        from river.datasets import Yeast
    except ImportError as error:
        raise ValueError(
            "`dataset` must be one whose package is installed, got yeast, which needs "
            'river: pip install "neat-optax[train]".'
        ) from error
    rows = list(Yeast())
    features = np.asarray([list(x.values()) for x, _ in rows], np.float32)
    return features, np.asarray([list(y.values()) for _, y in rows], np.int32)


def _of_sklearn(load: Callable[[], Any]) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    def arrays():
        bunch = load()
        return bunch.data, bunch.target

    return arrays


LOADERS = {
    "digits": _of_sklearn(datasets.load_digits),
    "breast-cancer": _of_sklearn(datasets.load_breast_cancer),
    "wine": _of_sklearn(datasets.load_wine),
    "yeast": _yeast,
}
MULTI_LABEL = ("yeast",)
"""Data sets with several labels for each example, each present or absent."""


class Split(NamedTuple):
    """Inputs and labels."""

    x: Any  # [examples, features] float32, standardised
    y: Any  # [examples] int32, or [examples, labels] int32 of 0 and 1


class Data(NamedTuple):
    """Three disjoint parts: 60 % to train, 20 % to select by, 20 % to report."""

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


def load(name: str) -> Data:
    """Loads a data set by its name in `LOADERS`.

    The split is always the same, and stratified where an example has one label; mean
    and deviation are those of the training part.
    """
    x, y = LOADERS[name]()
    x, x_test, y, y_test = _hold_out(x, y, 0.2)
    x, x_validation, y, y_validation = _hold_out(x, y, 0.25)
    scaler = StandardScaler().fit(x)

    def part(inputs, labels):
        standardised = np.asarray(scaler.transform(inputs), np.float32)
        return Split(standardised, labels.astype(np.int32))

    return Data(part(x, y), part(x_validation, y_validation), part(x_test, y_test))


def _hold_out(x, y, share):
    stratify = y if y.ndim == 1 else None
    return train_test_split(x, y, test_size=share, stratify=stratify, random_state=42)
