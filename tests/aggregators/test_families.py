"""The projecting aggregators on ten families of gradients, from easy to degenerate."""

import functools

import jax
import numpy as np
import pytest

from neat_optax import aggregators
from oracle import aggregators as oracle
from oracle.families import FAMILIES, of_family

SEATS, COLUMNS = 48, 400
PROJECTING = {
    "upgrad": oracle.upgrad,
    "dual_proj": oracle.dual_proj,
    "mgda": oracle.mgda,
}
ERROR = 1e-4
"""Of the longest gradient."""
CONFLICT = 1e-5
"""Of answers longer than a thousandth of it: weights are rounded to float32."""


@functools.cache
def compiled(name):
    tx = getattr(aggregators, name)()
    return jax.jit(lambda j, on: tx.update(j, tx.init(j[0]), present=on)[0])


def update(name, j):
    players, columns = j.shape
    full = np.zeros((SEATS, COLUMNS), np.float32)
    full[:players, :columns] = j
    found = compiled(name)(full, np.arange(SEATS) < players)
    return np.asarray(found, float)[:columns]


def check(name, j, seed):
    """Error and conflict, in this order and another, in these units and others."""
    longest = np.linalg.norm(j.astype(float), axis=1).max()
    exact = PROJECTING[name](j)
    order = np.random.default_rng(seed).permutation(len(j))
    for rows, unit in ((j, 1.0), (j[order], 1.0), (j, 1e-15), (j, 1e15)):
        found = update(name, rows * np.float32(unit)) / float(np.float32(unit))
        assert np.linalg.norm(found - exact) <= ERROR * longest, (len(j), unit)
        if np.linalg.norm(exact) > 1e-3 * longest:  # a shorter one has few digits
            assert oracle.conflict(j, found) <= CONFLICT


@pytest.mark.fast("upgrad-random", "upgrad-nearly flat", "upgrad-rank-deficient")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PROJECTING)
def test_exact_in_any_order_and_in_any_units(name, family):
    check(name, of_family(family, 5), seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PROJECTING)
def test_exact_for_more_of_them(name, family):
    for seed in range(5):
        check(name, of_family(family, seed), seed)


@pytest.mark.fast("dual_proj")
@pytest.mark.parametrize("name", ["upgrad", "dual_proj"])
def test_a_stationary_point_of_dependent_gradients(name):
    """24 gradients in 8 dimensions: no direction helps all, and so nothing is done."""
    rng = np.random.default_rng([5, 11, 24])
    j = (rng.normal(size=(24, 8)) @ rng.normal(size=(8, 50))).astype(np.float32)
    check(name, j, seed=0)


def test_three_players_nearly_opposed():
    """Two are opposed but for a thousandth; the third's way out is [0, 0, 1/3]."""
    j = np.array([[1, 0, 0], [-1, 1e-3, 0], [0, -1, 1]], np.float32)
    np.testing.assert_allclose(update("dual_proj", j), [0, 0, 1 / 3], atol=1e-4)
