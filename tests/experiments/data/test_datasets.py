import sys

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from neat_optax.experiments.data import datasets

PACKAGED = ("digits", "breast-cancer", "wine", "yeast")


@pytest.mark.parametrize("name", PACKAGED)
def test_parts_are_standardized_by_the_training_part(name):
    loaded = datasets.load(name)
    sizes = np.array([len(part.y) for part in loaded])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.6, 0.2, 0.2], atol=0.01)
    for part in loaded:
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int32
    np.testing.assert_allclose(loaded.train.x.mean(axis=0), 0, atol=1e-5)
    assert loaded.multi_label == (name in datasets.MULTI_LABEL)


@pytest.mark.parametrize("name", sorted(set(PACKAGED) - set(datasets.MULTI_LABEL)))
def test_parts_hold_every_class(name):
    loaded = datasets.load(name)
    for part in loaded:
        assert set(part.y) == set(range(loaded.num_classes))


def test_yeast_has_several_labels():
    loaded = datasets.load("yeast")
    assert loaded.train.x.shape == (1449, 103)
    assert loaded.num_classes == 14
    for part in loaded:
        assert set(np.unique(part.y)) == {0, 1}
        assert (part.y.sum(axis=0) > 0).all()
    labels = np.concatenate([part.y for part in loaded])
    np.testing.assert_allclose(labels.sum(axis=1).mean(), 4.237, atol=1e-3)  # published


def test_digits_are_paired_within_their_part():
    loaded, single = datasets.load("multi-digits"), datasets.load("digits")
    assert loaded.train.x.shape == (1077, 100)
    assert (loaded.num_labels, loaded.num_classes) == (2, 10)
    for pairs, part in zip(loaded, single, strict=True):
        np.testing.assert_array_equal(pairs.y[:, 0], part.y)
        np.testing.assert_array_equal(np.sort(pairs.y[:, 1]), np.sort(part.y))


def test_worst_cells_are_numbers_in_units_of_their_own():
    loaded, whole = datasets.load("worst-cells"), load_breast_cancer()
    assert loaded.targets
    assert not loaded.multi_label
    assert loaded.num_labels == loaded.num_classes == 10
    for part in loaded:
        assert part.y.dtype == np.float32
        assert set(part.y[:, 3]) <= set(np.float32(whole.data[:, 23]))  # worst area
    variances = loaded.train.y.var(axis=0)
    assert variances.max() > 1e8 * variances.min()


def test_labels_are_wrong_where_nobody_looked():
    noisy, right = datasets.load("digits", label_noise=0.4), datasets.load("digits")
    wrong = [np.mean(a.y != b.y) for a, b in zip(noisy, right, strict=True)]
    np.testing.assert_allclose(wrong, [0.4, 0.4, 0], atol=1e-3)
    np.testing.assert_array_equal(noisy.train.x, right.train.x)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "river.datasets", None)
    with pytest.raises(ValueError, match=r"got yeast, which needs river: pip install"):
        datasets.load("yeast")


def test_digits_have_the_published_split():
    assert [len(part.y) for part in datasets.load("digits")] == [1077, 360, 360]


def test_parts_are_disjoint():
    rows = np.concatenate([part.x for part in datasets.load("wine")])
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_a_fraction_is_of_the_training_part_alone():
    whole, some = datasets.load("digits"), datasets.load("digits", 0.1)
    assert [len(part.y) for part in some] == [108, 360, 360]
    assert set(some.train.y) == set(range(10))
    np.testing.assert_array_equal(some.test.y, whole.test.y)
    np.testing.assert_allclose(some.train.x.mean(axis=0), 0, atol=1e-5)


def test_a_fraction_keeps_an_example_of_each_label():
    assert len(datasets.load("digits", 1e-6).train.y) == 10
    assert len(datasets.load("digits", 0.999).train.y) == 1077
    assert len(datasets.load("yeast", 1e-6).train.y) == 1
