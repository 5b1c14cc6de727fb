import numpy as np
import pytest
from hypothesis import given

import aggregator_goldens as goldens
import samplers
import weight_rules
from oracle import aggregators as oracle


def test_by_hand():
    """[1, 0] goes to [.5, .5], and [-1, 1] to [0, 1]."""
    j = np.array([[1.0, 0.0], [-1.0, 1.0]])
    weights = weight_rules.weights("upgrad", j)
    np.testing.assert_allclose(weights, [1.0, 0.75], rtol=1e-6)
    preferred = weight_rules.update("upgrad", j, preference=np.array([0.75, 0.25]))
    np.testing.assert_allclose(preferred, [0.375, 0.625], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "given"),
    [("UPGrad", {}), ("UPGrad_pref", {"preference": goldens.preference})],
)
def test_gate_on_the_exact_answers(kind, given):
    answers = goldens.cases("exact", kind)
    found = weight_rules.errors("upgrad", answers, goldens.MATRICES, **given)
    assert len(found) == len(goldens.MATRICES)
    assert np.median(list(found.values())) <= 1e-6
    assert max(found.values()) <= 1e-3, found


@given(samplers.improvable(decades=6.0))
def test_agrees_with_the_oracle(j):
    assert goldens.error(weight_rules.update("upgrad", j), oracle.upgrad(j), j) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", goldens.DATA["gramians"])
def test_realistic_gramians(name):
    """The weights are not unique there, the inner products are."""
    recorded = goldens.DATA["gramians"][name]
    gramian = np.array(recorded["gramian"])
    expected = np.array(recorded["exact"]["UPGrad"]["inner_products"])
    small = gramian.astype(np.float32)
    weights = weight_rules.decide("upgrad", small, weight_rules.LARGE)
    lengths = np.sqrt(np.diag(gramian))
    gains = (gramian @ weights - expected) / lengths
    length = recorded["exact"]["UPGrad"]["norm"]
    np.testing.assert_allclose(gains / length, 0.0, atol=1e-4)


@pytest.mark.slow  # in the fast tier MGDA asks it of the same solver
def test_float64():
    for name, expected in goldens.cases("exact", "UPGrad").items():
        j = goldens.MATRICES[name]
        update = weight_rules.update("upgrad", j, np.float64)
        assert goldens.error(update, expected, j) < 1e-9, name
