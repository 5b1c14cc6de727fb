import numpy as np
import pytest
from hypothesis import assume, given

import aggregator_goldens as goldens
import samplers
import stepping
import weight_rules
from neat_optax import aggregators
from neat_optax.aggregators._conflict_free import LENGTHS
from oracle import aggregators as oracle

LARGEST_CONDITION = 1e3
RIGHT_ANGLES = np.diag([2.0, 1.0])


def test_by_hand():
    """Along the diagonal the rows have 3 / sqrt 2; preferred, 5 / sqrt 5."""
    np.testing.assert_allclose(
        weight_rules.update("config", RIGHT_ANGLES), [1.5, 1.5], rtol=1e-6
    )
    preferred = weight_rules.update(
        "config", RIGHT_ANGLES, preference=np.array([2.0, 1.0])
    )
    np.testing.assert_allclose(preferred, [2.0, 1.0], rtol=1e-6)


def test_gate_on_the_exact_answers():
    answers = goldens.cases("exact", "ConFIG")
    found = weight_rules.errors("config", answers, goldens.MATRICES)
    assert len(found) == 11
    assert max(found.values()) <= 1e-4, found


def independent(name):
    return weight_rules.condition(goldens.MATRICES[name]) <= 1e4


@pytest.mark.parametrize(
    ("recorded", "given"),
    [
        ("torchjd.ConFIG_pref", {"preference": goldens.preference}),
        ("conflictfree.ConFIG_lstsq", {}),
        ("conflictfree.ConFIG_TrackMinimum", {"length": "minimum"}),
        ("conflictfree.ConFIG_TrackHarmonicAverage", {"length": "harmonic"}),
    ],
)
def test_recorded(recorded, given):
    """Where rows are independent, and none is zero: there the lengths differ."""
    cases = goldens.cases("aggregators", f"{recorded}.float64")
    kept = {
        name: vector
        for name, vector in cases.items()
        if independent(name) and name not in ("zero_row_3x10", "trim_4x2")
    }
    found = weight_rules.errors("config", kept, goldens.MATRICES, **given)
    assert max(found.values()) <= 1e-4, found


@given(samplers.players(shapes=samplers.PLAYER_SHAPES, decades=4.0))
def test_agrees_with_the_oracle(j):
    assume(weight_rules.condition(j) <= LARGEST_CONDITION)
    assert goldens.error(weight_rules.update("config", j), oracle.config(j), j) <= 1e-4


@pytest.mark.parametrize(
    ("length", "mean"),
    [
        ("minimum", 1.0),
        ("maximum", 4.0),
        ("harmonic", 1.6),
        ("arithmetic", 2.5),
        ("geometric", 2.0),
    ],
)
def test_lengths_by_hand(length, mean):
    """Two cosines of 1 / sqrt 2 with rows of lengths 1 and 4: sqrt 2 times the mean."""
    update = weight_rules.update("config", np.diag([1.0, 4.0]), length=length)
    np.testing.assert_allclose(update, [mean, mean], rtol=1e-6)


@pytest.mark.parametrize("length", LENGTHS)
def test_zero_row_counts_for_nothing(length):
    with_zero = np.array([[3.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    update = weight_rules.update("config", with_zero, length=length)
    alone = weight_rules.update("config", np.diag([3.0, 1.0]), length=length)
    np.testing.assert_allclose(update, alone, rtol=1e-6)


def test_opposed_rows_give_zero():
    j = np.array([[1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(weight_rules.weights("config", j), [0.0, 0.0])


def test_preference_argument_and_errors():
    tx = aggregators.conflict_free(preference=(1.0, 1.0))
    update, _ = stepping.step(tx, RIGHT_ANGLES, preference=np.array([2.0, 1.0]))
    np.testing.assert_allclose(update, [2.0, 1.0], rtol=1e-6)
    with pytest.raises(ValueError, match="`length` must be one of projection, minimum"):
        aggregators.conflict_free(length="median")
