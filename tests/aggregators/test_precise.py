"""Gradients so nearly opposed that their float32 products do not tell them apart."""

import jax
import numpy as np
import pytest

import neat_optax as neo
from neat_optax import aggregators
from neat_optax.aggregators._gramian import Extras, group_leaves, measure_gramian
from neat_optax.aggregators._precise import measure_coordinates
from oracle import aggregators as oracle

STEP = np.zeros((), np.int32)


@jax.jit
def coordinates(leaves, present):
    extras = Extras.read({"present": present}, leaves, len(present))
    groups = group_leaves(leaves, extras, (0,) * len(leaves))
    return measure_coordinates(groups, measure_gramian(groups, extras, STEP))[0]


def nearly_opposed(tilt):
    """Two players opposed but for a tilt, and a third that pulls against it."""
    return np.array([[1, 0, 0], [-1, tilt, 0], [0, -1, 1]], np.float32)


def test_coordinates_keep_what_the_gramian_rounds_away():
    """Of four players in three dimensions one is absent and two nearly cancel."""
    j = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    j[1] = np.float32(-1e5) * j[0] + np.array([0, 10, 0], np.float32)
    present = np.array([True, True, False, True])
    found = np.asarray(coordinates([1e-3 * j], present), float)
    units = j / np.linalg.norm(j.astype(float), axis=1, keepdims=True)
    np.testing.assert_array_equal(found[2], np.zeros(4))
    units[2] = 0
    np.testing.assert_allclose(found @ found.T, units @ units.T, atol=2e-6)
    rest = np.linalg.norm(units[0] + units[1])
    np.testing.assert_allclose(np.linalg.norm(found[0] + found[1]), rest, rtol=5e-3)


@pytest.mark.slow  # dual_proj is asked in test_families.py, where it is compiled
@pytest.mark.parametrize("name", ["dual_proj", "upgrad"])
def test_three_players(name):
    """The right update is [0, 0, 1/3] and a little of the second; mostly the tilt's."""
    tx = getattr(aggregators, name)()
    update = jax.jit(lambda j: tx.update(j, tx.init(j[0]))[0])
    for tilt, tolerance in ((3e-3, 1e-4), (1e-3, 1e-4), (3e-4, 3e-4)):
        j = nearly_opposed(tilt)
        exact = getattr(oracle, name)(j.astype(float))
        np.testing.assert_allclose(update(j), exact, atol=tolerance)
        if name == "dual_proj":
            np.testing.assert_allclose(exact, [0, 0, 1 / 3], atol=1e-7)


@pytest.mark.slow
def test_in_each_scope_by_itself():
    tx = aggregators.dual_proj(scope=neo.per_leaf)
    tree = {"a": nearly_opposed(1e-3), "b": nearly_opposed(1e-2)[:, ::-1]}
    update = jax.jit(lambda g: tx.update(g, tx.init(jax.tree.map(lambda x: x[0], g))))
    found = update(tree)[0]
    np.testing.assert_allclose(found["a"], [0, 0, 1 / 3], atol=1e-4)
    np.testing.assert_allclose(found["b"], [1 / 3, 0, 0], atol=1e-4)
