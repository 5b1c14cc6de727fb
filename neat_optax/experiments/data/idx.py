"""The IDX files of MNIST and of the sets that took its place."""

import gzip
import math
import os
import pathlib
import zlib

import numpy as np

FOLDER_VARIABLE = "NEAT_OPTAX_DATA"
INSTALLED = pathlib.Path("/usr/share/datasets")
"""Where Debian's packages of data sets put them."""
_PARTS = ("train", "t10k")
_FILES = ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
_BYTES = 0x08


def read_parts(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test part: images of shape [examples, pixels], and labels."""
    folder = _find(name)
    parts = []
    for part in _PARTS:
        images, labels = (read(folder / f"{part}-{file}") for file in _FILES)
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"`dataset` must have a label for each image, got shapes "
                f"{images.shape} and {labels.shape} in {folder}."
            )
        parts.append((images.reshape(len(images), -1), labels))
    return parts


def read(path: pathlib.Path) -> np.ndarray:
    """The unsigned bytes of one gzipped IDX file."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"`dataset` must be of gzip files, got {path}.") from error
    header = 4 + 4 * content[3] if len(content) > 3 else 0
    known = content[:3] == bytes([0, 0, _BYTES]) and len(content) >= header
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist()) if known else ()
    if not known or len(content) - header != math.prod(shape):
        raise ValueError(f"`dataset` must be of IDX files of bytes, got {path}.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(name: str) -> pathlib.Path:
    """The first folder that holds all the files."""
    own = os.environ.get(FOLDER_VARIABLE)
    places = [pathlib.Path(own, name), pathlib.Path(own)] if own else []
    files = [f"{part}-{file}" for part in _PARTS for file in _FILES]
    for folder in (*places, INSTALLED / name):
        if all((folder / file).is_file() for file in files):
            return folder
    raise ValueError(
        f"`dataset` must be one whose files are here, got {name}: install the Debian "
        f"package dataset-{name}, or set {FOLDER_VARIABLE} to a folder with "
        f"{', '.join(files)}."
    )
