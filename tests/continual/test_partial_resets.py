"""Calibrated partial resets."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import layer_chains as chains
import neat_optax as neo
import properties
import running
import unit_reset_goldens as goldens

SLOW = pytest.mark.slow


def quarters(key, shape, dtype):
    del key
    return jnp.full(shape, 0.25, dtype)


@pytest.mark.parametrize(
    "curve",
    ["sigmoid", *(pytest.param(n, marks=SLOW) for n in ("exp", "softplus", "linear"))],
)
def test_as_the_authors_program_does(curve):
    params, grads = goldens.network()
    tx = neo.continual.calibrated_partial_resets(
        optax.sgd(0.0),
        goldens.LAYERS,
        rate=0.3,
        sharpness=4.0,
        threshold=0.9,
        curve=curve,
        every=4,
        utility_decay=0.5,
        init=quarters,
    )
    updates, after, state = running.run(tx, grads, params)
    last = jax.tree.map(lambda x: x[-1], after)
    properties.assert_trees_close(last, goldens.expected("cpr", curve), rtol=1e-5)
    assert not any(np.any(leaf[:-1]) for leaf in jax.tree.leaves(updates))
    assert all(np.all(one == 1) for one in state.utility)


def test_around_an_optimizer_a_trunk_and_a_flatten_by_hand():
    """Rows of all places of a channel shrink, and memories go on."""
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.normal(size=shape).astype("f4")  # noqa: E731
    params = {
        "conv": {"kernel": draw(2, 2, 1, 3), "bias": draw(3)},
        "left": {"kernel": draw(6, 4)},
        "right": {"kernel": draw(6, 2)},
    }
    grads = jax.tree.map(lambda p: draw(2, *p.shape), params)
    grads["conv"]["kernel"][..., 0] = 0
    inner = optax.sgd(0.1, momentum=0.9)
    tx = neo.continual.calibrated_partial_resets(
        inner,
        {"conv": ("left", "right")},
        rate=0.5,
        sharpness=2.0,
        curve="linear",
        every=2,
        utility_decay=0.25,
        init=quarters,
    )
    _, found, state = running.run(tx, grads, params)
    _, plain, kept = running.run(inner, grads, params)
    utility = np.ones(3)
    for kernel in np.abs(grads["conv"]["kernel"]):
        sizes = kernel.reshape(4, 3).mean(axis=0)
        utility = 0.25 * utility + 0.75 * sizes / sizes.mean()
    part = 0.5 * np.clip(1 - 2 * (utility - 1), 0, 1)
    expected = jax.tree.map(lambda x: x[-1].astype(np.float64), plain)
    kernel = expected["conv"]["kernel"]
    expected["conv"]["kernel"] = (1 - part) * kernel + 0.25 * part
    for name in ("left", "right"):
        expected[name]["kernel"] *= 1 - np.tile(part, 2)[:, None]
    last = jax.tree.map(lambda x: x[-1], found)
    properties.assert_trees_close(last, expected, rtol=1e-5, atol=1e-6)
    properties.assert_trees_close(state.inner, kept)
    assert part[0] == 0.5


@SLOW
def test_gradients_that_are_not_finite_leave_utilities_alone():
    params = chains.dense_params()
    tx = neo.continual.calibrated_partial_resets(optax.sgd(0.0), chains.LAYERS)
    grads = jax.tree.map(lambda p: np.stack([np.sin(9 * p)] * 2), params)
    grads["first"]["kernel"][1, 0, 0] = np.inf
    _, _, state = running.run(tx, grads, params, move=False)
    once = jax.tree.map(lambda g: g[:1], grads)
    _, _, before = running.run(tx, once, params, move=False)
    np.testing.assert_array_equal(state.utility[0], before.utility[0])
    assert np.any(state.utility[1] != before.utility[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(rate=1.5), r"^`rate` must be in \[0, 1\], got 1\.5\.$"),
        (dict(sharpness=-1.0), r"^`sharpness` must be in \[0, inf\), got -1\.0\.$"),
        (dict(curve="sigmiod"), r"^`curve` must be one of .*; did you mean sigmoid\?$"),
        (dict(utility_decay=1.0), r"^`utility_decay` must be in \[0, 1\), got 1\.0\.$"),
        (dict(every=0), r"^`every` must be an integer >= 1, got 0\.$"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        neo.continual.calibrated_partial_resets(
            optax.sgd(0.1), chains.LAYERS, **options
        )
