"""Trees of arrays with a leading example axis."""

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
