import jax
import numpy as np
import pytest
from hypothesis import given

import aggregator_goldens as goldens
import samplers
import stepping
import weight_rules
from neat_optax import aggregators
from oracle import aggregators as oracle

RECORDED = goldens.DATA["random_aggregators"]["torchjd.PCGrad.float64"]["cases"]
ROWS = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])


def test_by_hand():
    """[1, 0] loses its half along [-1, 1], which loses all that opposes [1, 0]."""
    j = np.array([[1.0, 0.0], [-1.0, 1.0]])
    np.testing.assert_allclose(weight_rules.weights("pcgrad", j), [2.0, 1.5], rtol=1e-6)


@pytest.mark.parametrize("seed", "012")
def test_recorded_with_the_orders_of_torch(seed):
    for name, j in goldens.MATRICES.items():
        expected = np.array(RECORDED[name]["seeds"][seed]["vector"])
        orders = np.array(goldens.DATA["orders"]["PCGrad"][str(len(j))][seed])
        update = weight_rules.update("pcgrad", j, orders=orders)
        assert goldens.error(update, expected, j) < 2e-5, name


def test_fixed_order_is_that_of_conflictfree():
    answers = goldens.cases("aggregators", "conflictfree.PCGradOperator.float64")
    found = weight_rules.errors("pcgrad", answers, goldens.MATRICES)
    assert max(found.values()) < 2e-5, found


@given(samplers.players(decades=4.0))
def test_agrees_with_the_oracle(j):
    update = weight_rules.update("pcgrad", j)
    expected = oracle.pcgrad(j, [range(len(j))] * len(j))
    assert goldens.error(update, expected, j) < 1e-4


def test_without_a_key_the_order_is_fixed():
    tx = aggregators.pcgrad(key=None)
    update, state = stepping.step(tx, ROWS)
    assert not jax.tree.leaves(state.weighting)
    weights = weight_rules.weights("pcgrad", ROWS)
    np.testing.assert_allclose(update, weights @ ROWS, rtol=1e-6)


def test_with_a_key_every_order_is_drawn():
    """The first row meets the second or the third first: two different sums."""
    tx = aggregators.pcgrad(key=0)
    updates, _ = stepping.play(tx, [ROWS] * 300)
    counts = np.unique(np.round(updates, 4), axis=0, return_counts=True)[1]
    assert len(counts) > 1
    # Each of two equally likely outcomes: 5 standard deviations below its mean of 75
    # at least, were there four of them.
    assert np.min(counts) >= 75 - 5 * np.sqrt(300 * 0.25 * 0.75)
