import numpy as np
import pytest

from neat_optax.experiments.data.noise import replace_labels, with_noise
from neat_optax.experiments.data.parts import Data, Split

LABELS = np.arange(3000) % 5


def test_every_other_class_is_as_likely_and_the_share_is_kept():
    noisy = replace_labels(LABELS, 0.4, 5, seed=0)
    steps = (noisy - LABELS) % 5
    counts = np.bincount(steps, minlength=5)
    assert counts[0] == 1800
    np.testing.assert_allclose(counts[1:], 300, atol=60)
    # as likely in each class
    np.testing.assert_allclose(np.bincount(LABELS[steps > 0]), 240, atol=60)


def test_the_seed_decides_and_the_given_labels_stay():
    given = LABELS.copy()
    first, same = (replace_labels(given, 0.2, 5, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, same)
    assert (first != replace_labels(given, 0.2, 5, seed=2)).any()
    np.testing.assert_array_equal(given, LABELS)


def test_labels_that_are_present_or_absent_are_turned():
    split = Split(np.zeros((50, 1)), np.ones((50, 3), np.int32) * [0, 1, 1])
    noisy = with_noise(Data(split, split, split), 0.1, seed=0)
    assert set(np.unique(noisy.train.y)) == {0, 1}
    assert [np.sum(part.y != split.y) for part in noisy] == [15, 15, 0]


@pytest.mark.parametrize("y", [np.ones((4, 2), np.float32)])
def test_numbers_have_no_wrong_classes(y):
    split = Split(np.zeros((4, 1)), y)
    with pytest.raises(ValueError, match=r"`label_noise` must be left out .* got 0.2"):
        with_noise(Data(split, split, split), 0.2, seed=0)
