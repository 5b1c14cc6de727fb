import functools

import numpy as np
import pytest

from neat_optax.experiments.data import datasets, files, idx, pairs
from neat_optax.experiments.data.pairs import make_pairs


def numbered(count, side=4):
    """Images each of one value of its own, which is ten times the label, plus 1."""
    labels = np.arange(count) % 10
    return np.repeat(10 * labels[:, None] + 1, side * side, axis=1), labels


def test_without_a_shift_images_lie_in_the_corners():
    images, labels = numbered(8)
    made, both = make_pairs(images, labels, 0, size=7, shift=0)
    squares = made.reshape(-1, 7, 7)
    np.testing.assert_array_equal(both[:, 0], labels)
    np.testing.assert_array_equal(squares[:, 0, 0], 10 * both[:, 0] + 1)
    np.testing.assert_array_equal(squares[:, -1, -1], 10 * both[:, 1] + 1)
    np.testing.assert_array_equal(squares[:, 3, 3], 10 * both.max(axis=1) + 1)
    assert not squares[:, 0, -1].any()
    assert sorted(both[:, 1]) == sorted(labels)  # every image is in front once


def test_a_shift_moves_both_towards_the_middle():
    images, labels = numbered(400)
    made, _ = make_pairs(images, labels, 1, size=12, shift=2)
    squares = made.reshape(-1, 12, 12) > 0
    rows = squares.any(axis=2)
    assert set(rows.argmax(axis=1)) == {0, 1, 2}
    assert set(rows[:, ::-1].argmax(axis=1)) == {0, 1, 2}
    np.testing.assert_array_equal(squares.sum(axis=(1, 2)), 32)  # they do not meet


def test_pairs_follow_from_the_seed():
    images, labels = numbered(30)
    first, again, other = (make_pairs(images, labels, seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("pixels", "shift"), [(15, 0), (16, 4), (16, -1)])
def test_what_does_not_fit_is_refused(pixels, shift):
    with pytest.raises(ValueError, match=f"`shift` must be at most .*got {shift}"):
        make_pairs(np.zeros((2, pixels)), np.zeros(2), 0, size=7, shift=shift)


def test_no_image_is_in_two_parts(monkeypatch):
    """Each has one value of its own, which its pairs keep before they are scaled."""
    values = np.arange(1, 91, dtype=np.uint8)
    images = np.repeat(values[:, None], 28 * 28, axis=1)
    labels = np.arange(90) % 3

    def read_parts(name, _):
        assert name == "fashion-mnist"
        return (images[:70], labels[:70]), (images[70:], labels[70:])

    as_they_are = functools.partial(datasets._map_inputs, lambda x: x)
    monkeypatch.setattr(datasets, "_standardize_pixels", lambda x, _: as_they_are(x))
    source = datasets._of_images(
        read_parts, "fashion-mnist", datasets._paired(pairs.SIZE, pairs.SHIFT)
    )
    monkeypatch.setitem(datasets.LOADERS, "multi-fashion", source)
    loaded = datasets.load("multi-fashion")
    found = [set(np.unique(part.x)) - {0} for part in loaded]
    assert [len(part.y) for part in loaded] == [50, 20, 20]
    assert len(set.union(*found)) == sum(map(len, found)) == 90
    assert found[2] == set(range(71, 91))
    assert (loaded.num_labels, loaded.num_classes) == (2, 3)
    assert not loaded.multi_label
    for part in loaded:
        np.testing.assert_array_equal(part.y.shape, (len(part.x), 2))


def test_the_real_files_where_they_are():
    names = [(f"{name}.gz", name) for name in idx.CHECKSUMS["fashion-mnist"]]
    try:
        files.find("fashion-mnist", names)
    except ValueError as error:
        pytest.skip(str(error))
    (images, labels), (test, _) = idx.read_parts("fashion-mnist")
    assert (images.shape, test.shape) == ((60000, 784), (10000, 784))
    np.testing.assert_array_equal(np.bincount(labels), 6000)
