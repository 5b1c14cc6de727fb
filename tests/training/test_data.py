import numpy as np
import pytest

from neat_optax.training import data


@pytest.mark.parametrize("name", data.LOADERS)
def test_parts_are_stratified_and_standardised_by_the_training_part(name):
    loaded = data.load(name)
    sizes = np.array([len(part.y) for part in loaded])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.6, 0.2, 0.2], atol=0.01)
    for part in loaded:
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int32
        assert set(part.y) == set(range(loaded.num_classes))
    np.testing.assert_allclose(loaded.train.x.mean(axis=0), 0, atol=1e-5)


def test_digits_have_the_published_split():
    assert [len(part.y) for part in data.load("digits")] == [1077, 360, 360]


def test_parts_are_disjoint():
    rows = np.concatenate([part.x for part in data.load("wine")])
    assert len(np.unique(rows, axis=0)) == len(rows)
