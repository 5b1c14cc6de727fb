"""What a data set consists of: its parts, each with inputs and labels."""

from typing import Any, NamedTuple

import numpy as np


class Split(NamedTuple):
    """Inputs and labels."""

    x: Any  # [examples, features] float32, standardized, or [examples, length] tokens
    y: Any  # [examples] int32, or [examples, labels] int32, or float32: targets


class Data(NamedTuple):
    """Three disjoint parts: 60 % to train, 20 % to select by, 20 % to report.

    Where a set has a test part of its own, that is kept, and as many examples are
    selected by.
    """

    train: Split
    validation: Split
    test: Split

    @property
    def tokens(self) -> bool:
        """Whether inputs are the tokens of a text."""
        return np.issubdtype(self.train.x.dtype, np.integer)

    @property
    def sequential(self) -> bool:
        """Whether every token of a text has a label, the next one."""
        return self.tokens and self.train.y.ndim == 2

    @property
    def multi_label(self) -> bool:
        """Whether an example has several labels, each present or absent."""
        present_or_absent = self.train.y.ndim == 2 and self.train.y.max() <= 1
        return present_or_absent and not self.targets

    @property
    def targets(self) -> bool:
        """Whether what belongs to an example are numbers in units of their own."""
        return np.issubdtype(self.train.y.dtype, np.floating)

    @property
    def num_labels(self) -> int:
        """How many labels an example has."""
        return self.train.y.shape[1] if self.train.y.ndim == 2 else 1

    @property
    def num_classes(self) -> int:
        """How many values a label has, or how many labels, or targets, there are."""
        y = self.train.y
        if self.multi_label or self.targets:
            return y.shape[1]
        return self.num_tokens if self.sequential else int(y.max()) + 1

    @property
    def num_tokens(self) -> int:
        """How many numbers stand for tokens."""
        x, y = self.train
        last = max(x.max(), y.max()) if self.sequential else x.max()
        return int(last) + 1
