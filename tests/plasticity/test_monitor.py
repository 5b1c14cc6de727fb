"""What is recorded of coefficients, and that nothing in it is biased."""

import itertools
import math

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import properties
from neat_optax.plasticity import _monitor
from neat_optax.plasticity._monitor import median

LEVELS = [0.2, 0.2, 0.5, 1.0, 1.7, 2.0]


MEDIAN = jax.jit(median)


def test_median_counts_those_at_the_ends():
    """All multisets of one, four and five of the levels."""
    for length in (1, 4, 5):
        rows = itertools.combinations_with_replacement(LEVELS, length)
        x = np.array(list(rows), "f4")
        found = jax.jit(jax.vmap(lambda row: median(row, 0.2, 2.0)))(x)
        wanted = np.sort(x, axis=1)[:, (length - 1) // 2]
        np.testing.assert_allclose(found, wanted, atol=1.8 / 4096)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(), (7,), (30, 4), (3, 2, 5)]))
def test_median_is_right_to_its_precision(seed, shape):
    x = np.random.default_rng(seed).uniform(0.0, 2.5, size=shape)
    x = np.clip(x, 0.2, 2.0).astype("f4")
    wanted = np.sort(x, axis=None)[(x.size - 1) // 2]
    np.testing.assert_allclose(MEDIAN(x, 0.2, 2.0), wanted, atol=1.8 / 4096 + 1e-6)


def test_counts():
    shapes = [(), (5,), (3, 4), (2, 3, 4)]
    arrays = [np.arange(math.prod(shape)).reshape(shape) for shape in shapes]
    count = lambda x: _monitor.counts([x < 2, x >= 0, x > 99])  # noqa: E731
    for x, found in zip(arrays, jax.jit(lambda xs: [*map(count, xs)])(arrays)):  # noqa: B905
        assert found.tolist() == [min(2, x.size), x.size, 0]


def test_what_is_not_finite_is_recorded_as_zero():
    tx = neo.plasticity.scale_by_plasticity(monitor=True)
    step = jax.jit(lambda g: tx.update(g, tx.init(g))[1].recorded)
    found = [
        step({"a": np.array([1, entry, 3], "f4"), "b": np.array([2], "f4")})
        for entry in (0.0, np.nan, np.inf, 1e25)
    ]
    for bad in found[1:]:
        properties.assert_trees_close(bad, found[0])


def test_records():
    g = {"a": np.array([0, 1, 3, 4], "f4"), "b": np.array([2], "f4")}
    tx = neo.plasticity.scale_by_plasticity(
        [neo.plasticity.gradient(1.0)], monitor=True
    )
    step = jax.jit(tx.update)
    _, state = step(g, tx.init(g))
    _, state = step(g, state)
    found = neo.diagnostics(state, g)
    alpha = np.array([0.2, 0.5, 1.5, 2.0])
    expected = dict(
        plasticity=alpha.mean(),
        plasticity_std=alpha.std(),
        plasticity_median=0.5,
        plasticity_min=0.2,
        plasticity_max=2.0,
        near_minimum=0.25,
        near_maximum=0.25,
        gradient_norm=np.linalg.norm(g["a"]),
        plastic_norm=np.linalg.norm(alpha * g["a"]),
        gain=np.linalg.norm(alpha * g["a"]) / np.linalg.norm(g["a"]),
        plastic_share=np.linalg.norm((alpha - 1) * g["a"]) / np.linalg.norm(g["a"]),
    )
    for name, value in expected.items():
        atol = 1.8 / 4096 if name == "plasticity_median" else 0
        np.testing.assert_allclose(found[name].per_leaf["a"], value, 1e-5, atol)
    np.testing.assert_allclose(found["plasticity"].latest, (4 * 1.05 + 1) / 5, 1e-6)


def test_nothing_recorded_of_nothing():
    tx = neo.plasticity.scale_by_plasticity(monitor=True)
    after = jax.eval_shape(lambda: tx.update({}, tx.init({}))[1])
    assert after.recorded.size.shape == (0,)
