import numpy as np
from hypothesis import assume, given

import aggregator_goldens as goldens
import samplers
import stepping
import weight_rules
from neat_optax.aggregators import _imtl_g
from oracle import aggregators as oracle

LARGEST_CONDITION = 1e3
"""Of the cosines: beyond it float32 does not hold the answer to 1e-4."""


def test_by_hand():
    """Weights 1/3 and 2/3 give both unit rows the share 2/3."""
    j = np.array([[2.0, 0.0], [0.0, 1.0]])
    weights = weight_rules.weights("imtl_g", j)
    np.testing.assert_allclose(weights, [1 / 3, 2 / 3], rtol=1e-6)


def test_gate_on_the_exact_answers():
    answers = goldens.cases("exact", "IMTLG")
    found = weight_rules.errors("imtl_g", answers, goldens.MATRICES)
    within = {
        name: error
        for name, error in found.items()
        if weight_rules.condition(goldens.MATRICES[name]) <= LARGEST_CONDITION
    }
    assert set(found) - set(within) == {"conflict_2x3"}
    assert max(found.values()) <= 1e-4, found


@given(samplers.players(shapes=samplers.PLAYER_SHAPES, decades=4.0))
def test_agrees_with_the_oracle(j):
    assume(weight_rules.condition(j) <= LARGEST_CONDITION)
    weights = weight_rules.weights("imtl_g", j)
    np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-5)
    # The sum that the weights are divided by may cancel: that is amplified.
    assume(np.sum(np.abs(weights)) <= 30)
    assert goldens.error(weights @ j, oracle.imtl_g(j), j) <= 1e-4


def test_weights_whose_sum_vanishes_are_zero():
    """Equal shares need y = 1 / (1 + cosine) each: 0 / 0 for opposed rows."""
    j = np.array([[1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(weight_rules.weights("imtl_g", j), [0.0, 0.0])


def test_residual_of_shares_that_cannot_be_equal():
    """Of opposed rows no combination has a positive share of both."""
    decision = stepping.call(_imtl_g._decide, np.array([[1.0, -1.0], [-1.0, 1.0]]))
    np.testing.assert_allclose(decision.residual, 1.0, rtol=1e-6)


def test_dependent_rows_get_the_least_squares_answer():
    """Two equal rows share the weight that one of them would have."""
    j = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    weights = weight_rules.weights("imtl_g", j)
    np.testing.assert_allclose(weights, [1 / 6, 1 / 6, 2 / 3], rtol=1e-5)
