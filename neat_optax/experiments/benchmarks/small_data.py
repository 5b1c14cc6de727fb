"""Parts of data sets that are small enough for minutes."""

import dataclasses
import pathlib
import tempfile

from neat_optax.experiments.benchmarks.study import Study
from neat_optax.experiments.data import datasets, files, text
from neat_optax.experiments.data.parts import Data, Split


def images(name: str, folder: str | None, fraction: float) -> Data | None:
    """A data set with a share of its training part, or None where its files are not."""
    try:
        return datasets.load(name, fraction, folder)
    except files.Missing:
        return None


def first(data: Data, validation: int, test: int) -> Data:
    """So many examples to select by, and to report."""
    held_out = _cut(data.validation, validation), _cut(data.test, test)
    return Data(data.train, *held_out)


def _cut(split: Split, count: int) -> Split:
    return Split(split.x[:count], split.y[:count])


def halved(data: Data, shape: tuple[int, int, int]) -> Data:
    """Images with the mean of 2 by 2 pixels in place of them."""
    height, width, colors = shape

    def halve(split: Split) -> Split:
        blocks = split.x.reshape(-1, height // 2, 2, width // 2, 2, colors)
        return split._replace(x=blocks.mean((2, 4)).reshape(len(split.x), -1))

    return Data(*map(halve, data))


def sized(study: Study, data: Data) -> Study:
    """A study that other sizes of the data make another."""
    sizes = {"examples": [len(part.y) for part in data]}
    return dataclasses.replace(study, settings={**study.settings, **sizes})


def documentation() -> str:
    """The text of `help()` on topics, which comes with Python."""
    from pydoc_data.topics import topics  # takes memory

    return "\n".join(topics[name] for name in sorted(topics))


def encoded(written: str) -> Data:
    """Windows of a text, as the data set `characters` has them."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "input.txt"
        file.write_bytes(written.encode())
        return text.encode_characters(text.read_characters(file))[0]
