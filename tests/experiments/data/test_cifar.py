import hashlib
import pickle
import tarfile

import numpy as np
import pytest

from neat_optax.experiments.data import cifar, datasets, files

PLANES = 3 * 1024
PER_FILE = 12


def images_of(file, count=PER_FILE):
    """Bytes that tell file, image, color and place apart, and labels."""
    seed = int.from_bytes(hashlib.sha256(file.encode()).digest()[:4])
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, PLANES), np.uint8), np.arange(count) % 3


def old_pickle(content):
    """By the names that arrays had in the NumPy of its time."""
    return pickle.dumps(content, 3).replace(b"cnumpy._core.", b"cnumpy.core.")


def content_of(layout, file):
    images, labels = images_of(file.removesuffix(".bin"))
    if isinstance(layout.label, int):
        coarse = [np.full((len(labels), 1), 99)] * layout.label
        rows = [*coarse, labels[:, None], images]
        return np.concatenate(rows, axis=1).astype(np.uint8).tobytes()
    held = {b"data": images, layout.label: labels.tolist(), b"batch_label": b"one"}
    return pickle.dumps(held, 4)


def write_folder(folder, layout):
    (folder / layout.folder).mkdir(parents=True)
    for file in (*layout.train, layout.test):
        content = content_of(layout, file)
        (folder / layout.folder / file).write_bytes(content)


def write_archive(folder, layout):
    write_folder(folder / "unpacked", layout)
    with tarfile.open(folder / layout.archive, "w:gz") as archive:
        archive.add(folder / "unpacked" / layout.folder, layout.folder)


@pytest.fixture(autouse=True)
def nothing_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "nowhere")
    monkeypatch.delenv(files.FOLDER_VARIABLE, raising=False)


FORMS = [(name, i) for name in cifar.LAYOUTS for i in range(2)]


@pytest.mark.parametrize("write", [write_folder, write_archive])
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_form_holds_the_same(name, form, write, tmp_path):
    layout = cifar.LAYOUTS[name][form]
    write(tmp_path, layout)
    (images, labels), (test_images, test_labels) = cifar.read_parts(name, tmp_path, {})
    assert images.shape == (PER_FILE * len(layout.train), PLANES)
    planes, expected = images_of(layout.test.removesuffix(".bin"))
    red_green_blue = planes.reshape(-1, 3, 32, 32)[5, :, 2, 7]
    found = test_images.reshape(-1, 32, 32, 3)[5, 2, 7]
    np.testing.assert_array_equal(found, red_green_blue)
    np.testing.assert_array_equal(test_labels, expected)
    np.testing.assert_array_equal(labels[:PER_FILE], expected)


def test_a_data_set_has_images_of_one_scale(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar.read_parts, "__defaults__", (None, {}))
    write_folder(tmp_path, cifar.LAYOUTS["cifar-10"][1])
    loaded = datasets.load("cifar-10", folder=tmp_path)
    assert [len(part.y) for part in loaded] == [48, 12, 12]
    np.testing.assert_allclose(loaded.train.x.std(), 1, rtol=1e-5)
    assert loaded.num_classes == 3


def test_a_whole_archive_is_known_by_its_sum(tmp_path):
    layout = cifar.LAYOUTS["cifar-100"][1]
    write_archive(tmp_path, layout)
    path = tmp_path / layout.archive
    own = {layout.archive: hashlib.md5(path.read_bytes()).hexdigest()}
    assert len(cifar.read_parts("cifar-100", tmp_path, own)) == 2
    with pytest.raises(ValueError, match=r"got .*binary\.tar\.gz with the MD5"):
        cifar.read_parts("cifar-100", tmp_path)


def test_an_unpacked_file_is_known_by_its_sum(tmp_path):
    layout = cifar.LAYOUTS["cifar-10"][0]
    write_folder(tmp_path, layout)
    with pytest.raises(ValueError, match=r"got .*data_batch_1 with the MD5"):
        cifar.read_parts("cifar-10", tmp_path)


def test_damaged_archives_are_named(tmp_path):
    layout = cifar.LAYOUTS["cifar-100"][0]
    write_archive(tmp_path, layout)
    path = tmp_path / layout.archive
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no gzip", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"whole archive, got .*python\.tar\.gz"):
            cifar.read_parts("cifar-100", tmp_path, {})


def test_damaged_files_are_named(tmp_path):
    for name, form, match in (
        ("cifar-100", 0, "published pickles, got .*test"),
        ("cifar-10", 1, r"records of 3073 bytes, got 100 bytes in .*test_batch\.bin"),
    ):
        layout = cifar.LAYOUTS[name][form]
        write_folder(tmp_path / name, layout)
        (tmp_path / name / layout.folder / layout.test).write_bytes(b"x" * 100)
        with pytest.raises(ValueError, match=match):
            cifar.read_parts(name, tmp_path / name, {})


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"without cifar-10-python\.tar\.gz in .*cs\."):
        cifar.read_parts("cifar-10", tmp_path)
    layout = cifar.LAYOUTS["cifar-10"][1]
    write_folder(tmp_path, layout)
    (tmp_path / layout.folder / layout.train[2]).unlink()
    with pytest.raises(ValueError, match=r"without data_batch_3\.bin: unpack"):
        cifar.read_parts("cifar-10", tmp_path)


def test_arrays_of_old_pickles_come_back(tmp_path):
    images, _ = images_of("any")
    content = old_pickle({b"data": images, b"labels": list(range(PER_FILE))})
    assert b"numpy.core.multiarray" in content
    found = cifar._of_pickle(tmp_path, content, b"labels")
    np.testing.assert_array_equal(found[0], images)


def test_a_pickle_cannot_call_anything(tmp_path):
    class Harm:
        def __reduce__(self):
            return print, ("harm",)

    content = pickle.dumps({b"data": Harm(), b"labels": [1]})
    with pytest.raises(ValueError, match=r"it names builtins\.print"):
        cifar._of_pickle(tmp_path, content, b"labels")
