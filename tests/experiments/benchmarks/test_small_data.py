import numpy as np

from neat_optax.experiments.benchmarks import small_data
from neat_optax.experiments.data.parts import Data, Split


def part(count):
    x = np.arange(count * 16, dtype=np.float32).reshape(count, 16)
    return Split(x, np.arange(count) % 2)


DATA = Data(part(6), part(4), part(5))


def test_images_are_halved_by_means_of_four_pixels():
    halved = small_data.halved(DATA, (4, 4, 1))
    assert halved.train.x.shape == (6, 4)
    assert halved.train.x[0].tolist() == [2.5, 4.5, 10.5, 12.5]


def test_the_first_examples_are_held_out():
    kept = small_data.first(DATA, validation=3, test=2)
    assert [len(x.y) for x in kept] == [6, 3, 2]
    assert kept.test.x.tolist() == DATA.test.x[:2].tolist()


def test_images_without_files_are_none(tmp_path):
    assert small_data.images("cifar-10", str(tmp_path), 1.0) is None


def test_text_is_divided_into_windows():
    data = small_data.encoded("abcd" * 200)
    assert data.sequential
    assert data.train.x[0].tolist() == [2, 3, 4, 5] * 16
    assert data.train.y[0].tolist() == [3, 4, 5, 2] * 16


def test_documentation_comes_with_python():
    assert len(small_data.documentation()) > 100_000
