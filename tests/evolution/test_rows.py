"""Rows of stacked arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax.evolution import _rows
from running import quick_jit


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((8,), 1, (8,)),
        ((), 0, (1,)),
        ((8, 64, 10), 1, (8, 640)),
        ((8, 10, 64), 1, (8, 10, 64)),
        ((8, 3, 3, 3), 1, (8, 27)),
        ((8, 2, 40, 2), 1, (8, 2, 80)),
        ((8, 10), 0, (80,)),
        ((3, 8, 10), 2, (3, 8, 10)),
    ],
)
def test_short_last_axes_are_joined(shape, axes, expected):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)

    @quick_jit
    def there_and_back(array):
        joined = _rows.joined(array, axes)
        return joined, _rows.parted(joined, shape)

    joined, parted = there_and_back(array)
    assert joined.shape == expected
    np.testing.assert_array_equal(parted, array)


def test_all_rows_are_mapped_whatever_the_batch():
    rows = np.arange(7, dtype="f4"), np.arange(14, dtype="f4").reshape(7, 2)
    expected = rows[0][:, None] * rows[1]
    for batch_size in (None, 1, 3, 9):
        found = jax.jit(lambda *r, b=batch_size: _rows.mapped(jnp.multiply, b, r))(
            *rows
        )
        np.testing.assert_array_equal(found, expected)
