"""Data sets that ship with scikit-learn, split and standardised."""

from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

LOADERS = {
    "digits": datasets.load_digits,
    "breast-cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
}


class Split(NamedTuple):
    """Inputs and labels."""

    x: Any  # [examples, features] float32, standardised
    y: Any  # [examples] int32


class Data(NamedTuple):
    """Three disjoint parts: 60 % to train, 20 % to select by, 20 % to report."""

    train: Split
    validation: Split
    test: Split

    @property
    def num_classes(self) -> int:
        """How many labels there are."""
        return int(self.train.y.max()) + 1


def load(name: str) -> Data:
    """Loads a data set by its name in `LOADERS`.

    The split is stratified and always the same; mean and deviation are those of the
    training part.
    """
    bunch: Any = LOADERS[name]()
    x, y = bunch.data, bunch.target
    x, x_test, y, y_test = _hold_out(x, y, 0.2)
    x, x_validation, y, y_validation = _hold_out(x, y, 0.25)
    scaler = StandardScaler().fit(x)

    def part(inputs, labels):
        standardised = np.asarray(scaler.transform(inputs), np.float32)
        return Split(standardised, labels.astype(np.int32))

    return Data(part(x, y), part(x_validation, y_validation), part(x_test, y_test))


def _hold_out(x, y, share):
    return train_test_split(x, y, test_size=share, stratify=y, random_state=42)
