import functools

import numpy as np
import pytest
from hypothesis import given

import aggregator_goldens as goldens
import samplers
import stepping
import weight_rules
from neat_optax import aggregators
from oracle import robust

TIED = ("weak_stationary_4x10", "duplicate_conflict_4x10", "krum_5x3")
"""Best scores that are equal: rounding decides."""
ROWS = np.array([[1.0], [1.5], [1.75], [9.0]])


def test_by_hand():
    """With one neighbor each, the scores are .25, .0625, .0625 and 7.25^2."""
    weights = weight_rules.weights("krum", ROWS, num_byzantine=1)
    np.testing.assert_array_equal(weights, [0.0, 1.0, 0.0, 0.0])
    two = weight_rules.weights("krum", ROWS, num_byzantine=1, num_selected=2)
    np.testing.assert_array_equal(two, [0.0, 0.5, 0.5, 0.0])


@pytest.mark.parametrize("selected", [1, 2])
def test_recorded(selected):
    """TorchJD does not square the distances."""
    cases = goldens.cases("aggregators", f"torchjd.Krum_b1_s{selected}.float64")
    kept = {n: v for n, v in cases.items() if n not in TIED}
    found = weight_rules.errors(
        "krum",
        kept,
        goldens.MATRICES,
        num_byzantine=1,
        num_selected=selected,
        squared=False,
    )
    assert len(found) == 7
    assert max(found.values()) <= 1e-6, found


@pytest.mark.parametrize("squared", [True, False])
@given(j=samplers.players(shapes=[(7, 5)]))
def test_agrees_with_the_oracle(j, squared):
    update = weight_rules.update(
        "krum", j, num_byzantine=2, num_selected=3, squared=squared
    )
    expected = robust.krum(j, 2, 3, squared)
    np.testing.assert_allclose(update, expected, rtol=1e-5, atol=1e-6)


def test_hostile_players_are_not_selected():
    rng = np.random.default_rng(0)
    j = np.concatenate([rng.normal(size=(5, 8)), 1e4 * rng.normal(size=(2, 8))])
    weights = weight_rules.weights("krum", j, num_byzantine=2, num_selected=3)
    assert np.sum(weights > 0) == 3
    assert not np.any(weights[5:])


def test_absent_players_are_nobodys_neighbors():
    """Without the second row, the third is nearest to the first."""
    krum = functools.partial(aggregators.krum_weights, num_byzantine=1)
    present = np.array([True, False, True, True])
    weights = stepping.call(krum, ROWS @ ROWS.T, present=present)
    np.testing.assert_array_equal(weights, [1.0, 0.0, 0.0, 0.0])


def test_errors():
    with pytest.raises(
        ValueError, match=r"must have at least 5 players for Krum with 2"
    ):
        stepping.step(aggregators.krum(2), ROWS)
    with pytest.raises(
        ValueError, match="`num_selected` must be at most the 4 players"
    ):
        stepping.step(aggregators.multi_krum(1, 5), ROWS)
    with pytest.raises(ValueError, match="`num_byzantine` must be an integer >= 0"):
        aggregators.krum(-1)
