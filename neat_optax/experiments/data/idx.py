"""The IDX files of MNIST and of the sets that took its place."""

import gzip
import math
import os
import pathlib
import zlib

import numpy as np

from neat_optax.experiments.data import files

Part = tuple[np.ndarray, np.ndarray]
_PARTS = ("train", "t10k")
_FILES = ("images-idx3-ubyte", "labels-idx1-ubyte")
_BYTES = 0x08
_GZIP = b"\x1f\x8b"
CHECKSUMS: dict[str, files.Checksums] = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
"""MD5 of what is in the files: Debian compresses them anew."""


def read_parts(
    name: str,
    folder: str | os.PathLike | None = None,
    checksums: files.Checksums | None = None,
) -> list[Part]:
    """Training and test part: images of shape [examples, pixels], and labels.

    Args:
      name: of the data set.
      folder: with its four files, gzipped or not, as `files.find` takes it.
      checksums: MD5 of the content by the name without .gz; those of `CHECKSUMS`
        unless given.
    """
    names = [f"{part}-{file}" for part in _PARTS for file in _FILES]
    paths = files.find(name, [(f"{x}.gz", x) for x in names], folder)
    known = CHECKSUMS.get(name, {}) if checksums is None else checksums
    arrays = [read(path, known.get(x)) for path, x in zip(paths, names, strict=True)]
    parts = []
    for images, labels in zip(arrays[::2], arrays[1::2], strict=True):
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"`dataset` must have a label for each image, got shapes "
                f"{images.shape} and {labels.shape} in {paths[0].parent}."
            )
        parts.append((images.reshape(len(images), -1), labels))
    return parts


def read(path: pathlib.Path, checksum: str | None = None) -> np.ndarray:
    """The unsigned bytes of one IDX file, gzipped or not.

    Args:
      path: of the file.
      checksum: MD5 of its content without gzip.
    """
    content = _unzipped(path)
    header = 4 + 4 * content[3] if len(content) > 3 else 0
    known = content[:3] == bytes([0, 0, _BYTES]) and len(content) >= header
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist()) if known else ()
    if not known or len(content) - header != math.prod(shape):
        raise ValueError(f"`dataset` must be of IDX files of bytes, got {path}.")
    files.check(path, content, checksum)
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _unzipped(path: pathlib.Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".gz" and not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"`dataset` must be of gzip files, got {path}.") from error
