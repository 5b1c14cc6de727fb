"""Files of data sets: where they lie, and whether they are whole."""

import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence

FOLDER_VARIABLE = "NEAT_OPTAX_DATA"
INSTALLED = pathlib.Path("/usr/share/datasets")
"""Where Debian's packages of data sets put them."""
_CIFAR = "get it from https://www.cs.toronto.edu/~kriz/cifar.html"
HOW: Mapping[str, str] = {
    "mnist": "get it from https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "install the Debian package dataset-fashion-mnist, or get it from "
    "https://github.com/zalandoresearch/fashion-mnist",
    "cifar-10": _CIFAR,
    "cifar-100": _CIFAR,
    "sst-2": "get it from https://gluebenchmark.com/tasks",
    "characters": "give a plain text that name",
}
"""How to come by the files of a data set: nothing here downloads them."""

Checksums = Mapping[str, str]
"""MD5 by the name of a file; a file without one is read unchecked."""
Choices = Sequence[str]
"""Names under which one file may lie, the usual one first."""


class Missing(ValueError):
    """A file of a data set is nowhere."""


def find(
    name: str, files: Sequence[Choices], folder: str | os.PathLike | None = None
) -> list[pathlib.Path]:
    """The files of a data set, from the first place that holds all of them.

    Args:
      name: of the data set.
      files: for each, the names that it may have.
      folder: that the user names, in place of the one in `NEAT_OPTAX_DATA`; the files
        lie in it, or in a folder of the data set's name in it. What is installed is
        found without one.

    Raises:
      Missing: if a file is nowhere; it says which, and where to get it.
    """
    places = _places(name, folder)
    found = [[_first(place, names) for names in files] for place in places]
    for paths in found:
        if None not in paths:
            return [path for path in paths if path is not None]
    pairs = zip(places, found, strict=True)
    place, nearest = min(pairs, key=lambda x: (x[1].count(None), not x[0].is_dir()))
    lacking = [x[0] for x, path in zip(files, nearest, strict=True) if path is None]
    raise Missing(
        f"`dataset` must be one whose files are here, got {name} without "
        f"{', '.join(lacking)} in {place}: {HOW[name]}, and name "
        f"the folder by --data or {FOLDER_VARIABLE}."
    )


def _places(name: str, folder: str | os.PathLike | None) -> list[pathlib.Path]:
    given = folder or os.environ.get(FOLDER_VARIABLE)
    if not given:
        return [INSTALLED / name]
    own = pathlib.Path(given).expanduser()
    return [own / name, own, INSTALLED / name]


def _first(place: pathlib.Path, names: Choices) -> pathlib.Path | None:
    return next((place / name for name in names if (place / name).is_file()), None)


def check(path: pathlib.Path, content: bytes, checksum: str | None) -> None:
    """Raises a `ValueError` that names a file whose content is not the published one.

    Args:
      path: of the file.
      content: of which the MD5 was published.
      checksum: MD5, or None where none is known.
    """
    if checksum is None:
        return
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != checksum:
        raise ValueError(
            f"`dataset` must be of whole files, got {path} with the MD5 {found} in "
            f"place of the published {checksum}: get it again."
        )
