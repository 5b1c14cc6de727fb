"""What the authors' programs make of small networks, in Flax's layout."""

import json
import pathlib

import jax
import numpy as np

_FILE = pathlib.Path(__file__).parent / "data" / "continual_weights.json"
_IS_ARRAY = lambda x: isinstance(x, list)  # noqa: E731
GOLDEN = {
    key: jax.tree.map(lambda x: np.array(x, np.float32), tree, is_leaf=_IS_ARRAY)
    for key, tree in json.loads(_FILE.read_text()).items()
    if key not in ("source", "gradients", "curvatures")
}
_STEPS = json.loads(_FILE.read_text())


def stacked(key):
    """The gradients or the curvatures, [steps, ...]."""
    trees = [
        jax.tree.map(lambda x: np.array(x, np.float32), tree, is_leaf=_IS_ARRAY)
        for tree in _STEPS[key]
    ]
    return jax.tree.map(lambda *x: np.stack(x), *trees)


def assert_close(actual, key, rtol=2e-5, atol=2e-6):
    """The same arrays, to the rounding of float32."""
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol),
        actual,
        GOLDEN[key],
    )
