import numpy as np
import pytest
from hypothesis import given

import aggregator_goldens as goldens
import samplers
import weight_rules
from oracle import aggregators as oracle


def test_by_hand():
    """The mean [0, .5] harms nobody; [.5, .25], which harms the second, is moved."""
    j = np.array([[1.0, 0.0], [-1.0, 1.0]])
    np.testing.assert_allclose(weight_rules.weights("dual_proj", j), [0.5, 0.5])
    preferred = weight_rules.update("dual_proj", j, preference=np.array([0.75, 0.25]))
    np.testing.assert_allclose(preferred, [0.375, 0.375], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "given"),
    [("DualProj", {}), ("DualProj_pref", {"preference": goldens.preference})],
)
def test_gate_on_the_exact_answers(kind, given):
    answers = goldens.cases("exact", kind)
    found = weight_rules.errors("dual_proj", answers, goldens.MATRICES, **given)
    assert len(found) == len(goldens.MATRICES)
    assert np.median(list(found.values())) <= 1e-6
    assert max(found.values()) <= 1e-3, found


@given(samplers.improvable(decades=6.0))
def test_agrees_with_the_oracle(j):
    update = weight_rules.update("dual_proj", j)
    assert goldens.error(update, oracle.dual_proj(j), j) < 1e-4


@given(samplers.players(shapes=[(2, 9), (3, 9)]))
def test_is_the_mean_where_that_harms_nobody(j):
    j = np.abs(j)  # all inner products are positive
    mean = np.full(len(j), 1 / len(j))
    weights = weight_rules.weights("dual_proj", j)
    np.testing.assert_allclose(weights, mean, rtol=1e-6)


@pytest.mark.slow  # in the fast tier UPGrad asks it of the same solver
@pytest.mark.parametrize("name", goldens.DATA["gramians"])
def test_realistic_gramians(name):
    recorded = goldens.DATA["gramians"][name]
    gramian = np.array(recorded["gramian"])
    expected = np.array(recorded["exact"]["DualProj"]["inner_products"])
    small = gramian.astype(np.float32)
    weights = weight_rules.decide("dual_proj", small, weight_rules.LARGE)
    gains = (gramian @ weights - expected) / np.sqrt(np.diag(gramian))
    length = recorded["exact"]["DualProj"]["norm"]
    np.testing.assert_allclose(gains / length, 0.0, atol=1e-4)
