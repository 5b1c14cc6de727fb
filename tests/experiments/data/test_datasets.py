import sys

import numpy as np
import pytest

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
