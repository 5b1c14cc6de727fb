"""How a chain's state lies on devices where `keras.distribution` is set."""

from collections.abc import Sequence
from typing import Any

import jax
import keras


def of_state(
    state: Any, arrays: Sequence[Any], places: Any, variables: Sequence[Any]
) -> list[Any]:
    """The layout of each array of a state; None where nothing is distributed.

    What stands at a parameter's path and has its shape, after other axes such as that
    of players, is split as the parameter is. Everything else is on every device.

    Args:
      state: what `init` returned.
      arrays: its leaves as plain arrays.
      places: from `_packing.places`.
      variables: the parameters in the order of the numbers in `places`.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return [None] * len(arrays)
    of_params = {
        path: (
            variables[number].shape,
            distribution.get_variable_layout(variables[number]),
        )
        for path, number in jax.tree.leaves_with_path(places)
    }
    paths = [path for path, _ in jax.tree.leaves_with_path(state)]
    return [
        keras.distribution.TensorLayout(
            _axes(path, array.shape, of_params), distribution.device_mesh
        )
        for path, array in zip(paths, arrays, strict=True)
    ]


def _axes(path: Any, shape: tuple[int, ...], of_params: dict[Any, Any]) -> tuple:
    """The names of the mesh's axes along which an array is split."""
    for start in range(len(path)):  # the longest end of the path that is a parameter's
        param_shape, layout = of_params.get(path[start:], ((), None))
        extra = len(shape) - len(param_shape)
        if layout is not None and extra >= 0 and shape[extra:] == tuple(param_shape):
            return (None,) * extra + tuple(layout.axes)
    return (None,) * len(shape)
