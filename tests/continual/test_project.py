"""Normalize-and-project: kernels keep their first norms."""

import jax
import numpy as np
import optax

from neat_optax.continual import project_to_initial_norm
from running import run

STEPS, TX = 5, optax.chain(optax.sgd(0.3), project_to_initial_norm())
PLAIN = optax.sgd(0.3)


def weights(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    shapes = {
        "dense": {"kernel": (3, 4), "bias": (4,)},
        "conv": {"kernel": (2, 3, 5), "bias": (5,)},
        "stacked": {"kernel": (2, 4, 4), "bias": (2, 4)},
        "norm": {"scale": (4,)},
    }
    return jax.tree.map(
        lambda shape: np.float32(scale * rng.normal(size=shape)),
        shapes,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def steps(params, seed=1, scale=1.0):
    rng = np.random.default_rng(seed)
    draw = lambda p: np.float32(scale * rng.normal(size=(STEPS, *p.shape)))  # noqa: E731
    return jax.tree.map(draw, params)


def norms(name, kernel):
    """One of each layer."""
    layers = len(kernel) if name == "stacked" else 1
    return np.linalg.norm(np.float64(kernel).reshape(layers, -1), axis=1)


def test_kernels_keep_their_norms_and_all_else_moves_as_before():
    for scale in (1.0, 1e-15, 1e15):
        params = weights(scale=scale)
        gradients = steps(params, scale=scale)
        _, after, _ = run(TX, gradients, params)
        _, plain, _ = run(PLAIN, gradients, params)
        for name in ("dense", "conv", "stacked"):
            before = norms(name, params[name]["kernel"])
            for new in after[name]["kernel"]:
                np.testing.assert_allclose(norms(name, new), before, rtol=2e-6)
            np.testing.assert_array_equal(after[name]["bias"], plain[name]["bias"])
        np.testing.assert_array_equal(after["norm"]["scale"], plain["norm"]["scale"])


def test_the_direction_is_that_of_the_plain_step():
    params = weights()
    gradients = steps(params)
    _, after, _ = run(TX, gradients, params)
    kernel, step = params["dense"]["kernel"], gradients["dense"]["kernel"][0]
    moved = np.float64(kernel) - 0.3 * step
    moved *= np.linalg.norm(kernel) / np.linalg.norm(moved)
    np.testing.assert_allclose(after["dense"]["kernel"][0], moved, rtol=1e-5, atol=1e-6)


def test_zeros_and_what_is_not_finite_are_left_as_they_are():
    params, still = weights(scale=0.0), steps(weights())
    still["conv"]["kernel"][0, 0, 0, 0] = np.nan
    _, after, _ = run(TX, still, params)
    _, plain, _ = run(PLAIN, still, params)
    jax.tree.map(np.testing.assert_array_equal, after, plain)


def test_a_mask_leaves_kernels_out():
    mask = {"dense": True, "conv": False, "stacked": False, "norm": False}
    state = jax.eval_shape(project_to_initial_norm(mask=mask).init, weights())
    assert [x.shape for x in jax.tree.leaves(state)] == [(1,)]
