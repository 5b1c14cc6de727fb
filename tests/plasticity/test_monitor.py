"""What is recorded of coefficients, and that nothing in it is biased."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import properties
from neat_optax.plasticity import _monitor
from neat_optax.plasticity._monitor import median

LEVELS = [0.2, 0.2, 0.5, 1.0, 1.7, 2.0]


@given(st.lists(st.sampled_from(LEVELS), min_size=1, max_size=9))
def test_median_counts_those_at_the_ends(levels):
    x = jnp.asarray(levels, jnp.float32)
    wanted = sorted(levels)[(len(levels) - 1) // 2]
    np.testing.assert_allclose(median(x, 0.2, 2.0), wanted, atol=1.8 / 4096)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(), (7,), (30, 4), (3, 2, 5)]))
def test_median_is_right_to_its_precision(seed, shape):
    x = np.random.default_rng(seed).uniform(0.0, 2.5, size=shape)
    x = np.clip(x, 0.2, 2.0).astype("f4")
    found = jax.jit(median)(x, 0.2, 2.0)
    wanted = np.sort(x, axis=None)[(x.size - 1) // 2]
    np.testing.assert_allclose(found, wanted, atol=1.8 / 4096 + 1e-6)


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)])
def test_counts(shape):
    x = jnp.arange(math.prod(shape)).reshape(shape)
    found = _monitor.counts([x < 2, x >= 0, x > 99])
    assert found.tolist() == [min(2, x.size), x.size, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e25])
def test_what_is_not_finite_is_measured_as_zero(bad):
    tx = neo.plasticity.scale_by_plasticity(monitor=True)
    found = []
    for entry in (bad, 0.0):
        g = {"a": jnp.array([1.0, entry, 3.0]), "b": jnp.array([2.0])}
        found.append(jax.jit(tx.update)(g, tx.init(g))[1].recorded)
    properties.assert_trees_close(*found)


def test_measures():
    g = {"a": jnp.array([0.0, 1.0, 3.0, 4.0]), "b": jnp.array([2.0])}
    tx = neo.plasticity.scale_by_plasticity(
        activity_weight=0, gradient_weight=1, memory_weight=0, monitor=True
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
    state = tx.init({})
    _, after = tx.update({}, state)
    assert after.recorded.size.shape == (0,)
