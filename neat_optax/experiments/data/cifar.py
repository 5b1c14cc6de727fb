"""The archives of CIFAR-10 and CIFAR-100, whole or unpacked, as pickles or bytes."""

import io
import os
import pathlib
import pickle
import tarfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from neat_optax.experiments.data import files

Part = tuple[np.ndarray, np.ndarray]
_PIXELS = 3 * 32 * 32


class Layout(NamedTuple):
    """One form in which a data set is published."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    label: int | bytes  # of an image: its byte in a record, or its key in a pickle


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "cifar-10": (
        Layout(
            "cifar-10-python.tar.gz",
            "cifar-10-batches-py",
            _BATCHES,
            "test_batch",
            b"labels",
        ),
        Layout(
            "cifar-10-binary.tar.gz",
            "cifar-10-batches-bin",
            tuple(f"{name}.bin" for name in _BATCHES),
            "test_batch.bin",
            0,
        ),
    ),
    "cifar-100": (
        Layout(
            "cifar-100-python.tar.gz",
            "cifar-100-python",
            ("train",),
            "test",
            b"fine_labels",
        ),
        Layout(
            "cifar-100-binary.tar.gz", "cifar-100-binary", ("train.bin",), "test.bin", 1
        ),
    ),
}
CHECKSUMS: files.Checksums = {
    "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
    "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
    "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
    "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
    "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
    "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
}
"""MD5 of archives, and of what the archives of pickles hold."""


_PLAIN = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
"""What a pickle of arrays names; no other is looked up, whoever wrote it."""


def read_parts(
    name: str,
    folder: str | os.PathLike | None = None,
    checksums: files.Checksums = CHECKSUMS,
) -> list[Part]:
    """Training and test part: images [examples, 3072], and labels.

    An image is 32 rows of 32 pixels of 3 colors, as networks take it.

    Args:
      name: of the data set.
      folder: with an archive, or with the folder that one holds, as `files.find` takes
        it.
      checksums: MD5 by file, with its folder where it is unpacked.
    """
    layouts = LAYOUTS[name]
    archives = [layout.archive for layout in layouts]
    unpacked = [f"{layout.folder}/{layout.test}" for layout in layouts]
    choices = [*archives, *unpacked]
    (path,) = files.find(name, [choices], folder)
    place = path.parents[0] if path.name in archives else path.parents[1]
    number = next(i for i, choice in enumerate(choices) if place / choice == path)
    layout = layouts[number % len(layouts)]
    read = _of_archive if path.name in archives else _of_folder
    contents = read(path, layout, checksums)
    return [
        _joined(contents, layout, parts) for parts in (layout.train, (layout.test,))
    ]


Contents = dict[str, tuple[pathlib.Path, bytes]]


def _of_archive(
    path: pathlib.Path, layout: Layout, checksums: files.Checksums
) -> Contents:
    whole = path.read_bytes()
    files.check(path, whole, checksums.get(layout.archive))
    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(whole), mode="r:gz") as archive:
            for file in (*layout.train, layout.test):
                member = archive.extractfile(f"{layout.folder}/{file}")
                contents[file] = path, member.read() if member else b""
    except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        raise ValueError(
            f"`dataset` must be of a whole archive, got {path}: {error}."
        ) from error
    return contents


def _of_folder(
    path: pathlib.Path, layout: Layout, checksums: files.Checksums
) -> Contents:
    contents = {}
    for file in (*layout.train, layout.test):
        one = path.with_name(file)
        if not one.is_file():
            raise ValueError(
                f"`dataset` must be one whose files are all here, got {path.parent} "
                f"without {file}: unpack {layout.archive} again."
            )
        contents[file] = one, one.read_bytes()
        files.check(one, contents[file][1], checksums.get(f"{layout.folder}/{file}"))
    return contents


def _joined(contents: Contents, layout: Layout, parts: tuple[str, ...]) -> Part:
    """The images and labels of several files, one after the other."""
    pairs = [_records(*contents[file], layout.label) for file in parts]
    planes = np.concatenate([images for images, _ in pairs]).reshape(-1, 3, 32, 32)
    images = planes.transpose(0, 2, 3, 1).reshape(len(planes), _PIXELS)
    return images, np.concatenate([labels for _, labels in pairs])


def _records(path: pathlib.Path, content: bytes, label: int | bytes) -> Part:
    if isinstance(label, bytes):
        return _of_pickle(path, content, label)
    size = label + 1 + _PIXELS
    if not content or len(content) % size:
        raise ValueError(
            f"`dataset` must be of records of {size} bytes, got {len(content)} bytes "
            f"in {path}."
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, size)
    return rows[:, -_PIXELS:], rows[:, label]


def _of_pickle(path: pathlib.Path, content: bytes, label: bytes) -> Part:
    try:
        held = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        images, labels = np.asarray(held[b"data"], np.uint8), np.asarray(held[label])
        images = images.reshape(len(labels), _PIXELS)
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(
            f"`dataset` must be of the published pickles, got {path}: {error}."
        ) from error
    return images, labels


class _Unpickler(pickle.Unpickler):
    """Reads arrays and nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PLAIN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)
