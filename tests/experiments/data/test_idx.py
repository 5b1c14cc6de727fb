import gzip

import numpy as np
import pytest

from experiments import idx_files
from neat_optax.experiments.data import datasets, files, idx


def write_part(folder, part, count, shift):
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(count) % 3
    images = 50 * labels[:, None, None] + np.arange(8).reshape(1, 4, 2) + shift
    idx_files.write(folder / f"{part}-{idx_files.IMAGES}", images)
    idx_files.write(folder / f"{part}-{idx_files.LABELS}", labels)
    return images, labels


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "nowhere")
    monkeypatch.setitem(idx.CHECKSUMS, "fashion-mnist", {})
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_bytes_come_back(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    idx_files.write(tmp_path / "a.gz", array)
    np.testing.assert_array_equal(idx.read(tmp_path / "a.gz"), array)


@pytest.mark.parametrize("place", ["", "fashion-mnist", "installed"])
def test_files_are_found(place, folder, monkeypatch):
    if place == "installed":
        monkeypatch.delenv(files.FOLDER_VARIABLE)
        monkeypatch.setattr(files, "INSTALLED", folder)
        place = "fashion-mnist"
    images, labels = write_part(folder / place, "train", 60, 0)
    write_part(folder / place, "t10k", 9, 1)
    train, test = idx.read_parts("fashion-mnist")
    np.testing.assert_array_equal(train[0], images.reshape(60, 8))
    np.testing.assert_array_equal(train[1], labels)
    assert test[0].shape == (9, 8)


def test_the_own_test_part_is_kept_and_validation_is_as_large(folder):
    write_part(folder, "train", 60, 0)
    write_part(folder, "t10k", 9, 1)
    loaded = datasets.load("fashion-mnist")
    assert [len(part.y) for part in loaded] == [51, 9, 9]
    assert np.bincount(loaded.validation.y).tolist() == [3, 3, 3]
    np.testing.assert_array_equal(loaded.test.y, np.arange(9) % 3)
    np.testing.assert_allclose(loaded.train.x.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(loaded.train.x.std(), 1, rtol=1e-5)
    unit = loaded.train.x[0, 1] - loaded.train.x[0, 0]  # pixels keep their scale
    np.testing.assert_allclose(np.diff(loaded.test.x[0]), unit, rtol=1e-4)
    for part in loaded:
        assert (part.x.dtype, part.y.dtype) == (np.float32, np.int32)


def test_missing_files_say_where_to_get_them(folder):
    write_part(folder, "train", 6, 0)
    with pytest.raises(
        ValueError, match=r"without t10k-images.*gz, t10k-labels.*dataset-fashion-mnist"
    ):
        datasets.load("fashion-mnist")


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b"x" * 100)[:-20],
        gzip.compress(b""),
        gzip.compress(bytes([0, 0, 8, 3, 0, 0])),
        gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7])),
        gzip.compress(bytes([0, 0, 13, 1, 0, 0, 0, 1, 7])),
    ],
    ids=["no gzip", "cut off", "empty", "no shape", "too short", "floats"],
)
def test_a_damaged_file_is_named(content, tmp_path):
    (tmp_path / "bad.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"`dataset` must be of .*bad\.gz"):
        idx.read(tmp_path / "bad.gz")


def test_images_and_labels_must_match(folder):
    write_part(folder, "train", 6, 0)
    write_part(folder, "t10k", 6, 0)
    idx_files.write(folder / f"t10k-{idx_files.LABELS}", np.zeros(5))
    with pytest.raises(ValueError, match="must have a label for each image"):
        datasets.load("fashion-mnist")


def test_a_damaged_stream_is_named(tmp_path):
    """Its header is that of gzip, and what is deflated is not."""
    path = tmp_path / "a.gz"
    content = gzip.compress(bytes(range(256)) * 4)
    path.write_bytes(content[:12] + b"\xff" * 40 + content[52:])
    with pytest.raises(ValueError, match=r"must be of gzip files, got .*a\.gz"):
        idx.read(path)
