"""Trees of arrays with a leading example axis."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def count_examples(name: str, batch: Any) -> int:
    """The length of the leading axis that all leaves share."""
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(batch)]
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) != 1 or lengths & {(), (0,)}:
        raise ValueError(
            f"`{name}` must be arrays with one leading axis of examples, got shapes "
            f"{', '.join(map(str, shapes)) or 'of no array'}."
        )
    return shapes[0][0]


def check_form(name: str, data: Any, batch_size: int | None) -> None:
    """Raises where arrays come without a batch size, or batches with one."""

    def is_array(value: Any) -> bool:
        return isinstance(value, np.ndarray | jax.Array)

    several = isinstance(data, tuple) and all(map(is_array, data))
    if batch_size is None and (is_array(data) or several or isinstance(data, Mapping)):
        raise ValueError(
            f"`{name}` must be an iterable of batches where batch_size is None, got "
            f"arrays in a {type(data).__name__}: give a batch_size, or put the batch "
            "in a list."
        )
    batches = isinstance(data, list) and not all(map(is_array, data))
    if batch_size is not None and batches:
        raise ValueError(
            f"`{name}` must be arrays with a leading axis of examples where there is a "
            f"batch_size, got a list of {type(data[0]).__name__}: leave batch_size out "
            "for batches."
        )


def split_batch(name: str, batch: Any, count: int) -> Any:
    """A batch [B, ...] in so many consecutive parts, [count, B / count, ...]."""
    size = count_examples("batch", batch)
    if size % count:
        raise ValueError(
            f"`{name}` must divide the batch of {size} examples, got {count}."
        )
    return jax.tree.map(
        lambda x: jnp.reshape(x, (count, size // count, *jnp.shape(x)[1:])), batch
    )
