import numpy as np
import pytest
from hypothesis import given

import aggregator_goldens as goldens
import samplers
import weight_rules
from oracle import aggregators as oracle


def test_by_hand():
    """The nearest point of the line from [1, 0] to [0, 2] is [.8, .4]."""
    j = np.array([[1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(weight_rules.weights("mgda", j), [0.8, 0.2], rtol=1e-6)


def test_gate_on_the_exact_answers():
    answers = goldens.cases("exact", "MGDA")
    found = weight_rules.errors("mgda", answers, goldens.MATRICES)
    assert len(found) == len(goldens.MATRICES)
    assert max(found.values()) <= 1e-4, found


@given(samplers.improvable(decades=6.0))
def test_agrees_with_the_oracle(j):
    assert goldens.error(weight_rules.update("mgda", j), oracle.mgda(j), j) < 1e-4


@given(samplers.players(decades=4.0))
def test_weights_are_on_the_simplex_and_no_row_is_shorter(j):
    weights = weight_rules.weights("mgda", j)
    assert np.all(weights >= 0)
    np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-6)
    shortest = np.min(np.linalg.norm(j, axis=1))
    assert np.linalg.norm(weights @ j) <= shortest * (1 + 1e-6)


def test_zero_gradient_is_the_shortest():
    j = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(weight_rules.weights("mgda", j), [0.0, 0.5, 0.5])


@pytest.mark.slow  # in the fast tier UPGrad asks it of the same solver
@pytest.mark.parametrize("name", goldens.DATA["gramians"])
def test_realistic_gramians(name):
    """Every player gains the squared length of the update, or more."""
    recorded = goldens.DATA["gramians"][name]
    gramian = np.array(recorded["gramian"])
    expected = np.array(recorded["exact"]["MGDA"]["inner_products"])
    small = gramian.astype(np.float32)
    weights = weight_rules.decide("mgda", small, weight_rules.LARGE)
    gains = (gramian @ weights - expected) / np.sqrt(np.diag(gramian))
    length = recorded["exact"]["MGDA"]["norm"]
    np.testing.assert_allclose(gains / length, 0.0, atol=1e-4)


def test_float64():
    for name, expected in goldens.cases("exact", "MGDA").items():
        j = goldens.MATRICES[name]
        update = weight_rules.update("mgda", j, np.float64)
        assert goldens.error(update, expected, j) < 1e-9, name
