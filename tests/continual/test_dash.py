"""Weights against the gradient's direction shrink."""

import jax
import numpy as np
import pytest

from neat_optax.continual import dash_weights
from running import quick_jit
from weight_goldens import GOLDEN, assert_close

SHRUNK = quick_jit(dash_weights)


def test_it_is_the_program_of_the_authors():
    assert_close(SHRUNK(GOLDEN["net"], GOLDEN["net_gradients"], 0.3), "dash")


def test_neither_the_scale_of_weights_nor_that_of_gradients_matters():
    for scale in (np.float32(1e-30), np.float32(1e30)):
        scaled = [
            jax.tree.map(lambda x, s=s: x * s, GOLDEN[key])
            for key, s in (("net", 1 / scale), ("net_gradients", scale))
        ]
        found = jax.tree.map(lambda x, s=scale: x * s, SHRUNK(*scaled, 0.3))
        assert_close(found, "dash", rtol=1e-4, atol=1e-5)


def test_layers_of_a_stack_are_apart_and_the_rest_stays():
    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(2, 4, 3)).astype(np.float32)
    bias = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], np.float32)
    params = {
        "stack": {"kernel": kernel, "bias": bias},
        "norm": {"scale": bias},
        "embed": {"embedding": kernel[0]},
        "left": {"kernel": kernel[0]},
    }
    gradients = jax.tree.map(np.zeros_like, params)
    gradients["stack"]["kernel"][0] = -kernel[0]
    gradients["stack"]["kernel"][1] = np.nan
    gradients["stack"]["bias"][1] = [0.0, -1.0, 0.0]
    mask = {name: name != "left" for name in params}
    change = lambda *trees: dash_weights(*trees, 0.25, mask=mask)  # noqa: E731
    new = jax.tree.map(np.asarray, quick_jit(change)(params, gradients))
    np.testing.assert_allclose(new["stack"]["kernel"][0], kernel[0], rtol=1e-6)
    np.testing.assert_allclose(new["stack"]["kernel"][1], kernel[1] / 4, rtol=1e-6)
    factors = np.array([[0.25], [np.sqrt(0.5)]])
    np.testing.assert_allclose(new["stack"]["bias"], factors * bias, rtol=1e-6)
    for same in ("norm", "embed", "left"):
        jax.tree.map(np.testing.assert_array_equal, new[same], params[same])


def test_bad_input():
    w = {"kernel": np.ones((2, 2), np.float32)}
    with pytest.raises(ValueError, match=r"^`floor` must be in \[0, 1\], got 2\.0\.$"):
        dash_weights(w, w, 2.0)
    with pytest.raises(ValueError, match=r"^`gradients` must have the tree structure"):
        dash_weights(w, {}, 0.3)
