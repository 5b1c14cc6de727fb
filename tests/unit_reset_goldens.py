"""What the authors' programs do to units, as they were run once."""

import json
import pathlib

import jax
import numpy as np

_FILE = pathlib.Path(__file__).parent / "data" / "unit_resets.json"
LAYERS = ("dense_0", "dense_1", "output")
STEPS = 4


def stored():
    """Numbers by method, as nested dictionaries."""
    return json.loads(_FILE.read_text())


def network():
    """Parameters and gradients [steps, ...] of three layers."""
    found = stored()["gradients"]
    params = _arrays(found["params"])
    steps = [_arrays(grads) for grads in found["grads"]]
    return params, jax.tree.map(lambda *each: np.stack(each), *steps)


def expected(*path):
    """The parameters after all steps."""
    found = stored()["gradients"]
    for name in path:
        found = found[name]
    return _arrays(found)


def _arrays(tree):
    return {
        layer: {name: np.array(x, np.float32) for name, x in arrays.items()}
        for layer, arrays in tree.items()
    }


def bits(masks, units):
    """Booleans [steps, units] of numbers."""
    return (np.array(masks)[:, None] >> np.arange(units)) % 2 == 1
