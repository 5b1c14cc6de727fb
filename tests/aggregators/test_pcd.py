import numpy as np
import pytest
from hypothesis import given

import aggregator_goldens as goldens
import samplers
import stepping
import weight_rules
from neat_optax import aggregators
from oracle import histories

SEQUENCES = goldens.DATA["sequences"]
FORMS = {
    "torchjd.PCD": {},
    "torchjd.PCD_tau0.5_beta0.9": {"tau": 0.5, "decay": 0.9},
}
SLOW, QUICK = FORMS
"""`test_usual_lengths_are_remembered` is a second run with a memory."""
PADDED = {
    form: aggregators.pcd(**given, num_players=weight_rules.SEATS)
    for form, given in FORMS.items()
}


def test_by_hand():
    """Half of the other's unit joins the leader's, at the leader's length."""
    update = weight_rules.update("pcd", np.diag([2.0, 3.0]), tau=0.5)
    np.testing.assert_allclose(update, 2 * np.array([1, 0.5]) / 1.25**0.5, rtol=1e-6)


@pytest.mark.parametrize("name", ["seq_2x3", "seq_5x20"])
@pytest.mark.parametrize("form", [pytest.param(SLOW, marks=pytest.mark.slow), QUICK])
def test_recorded_sequences(form, name):
    """1 - decay keeps four digits in float32: the debiasing cancels what is lost."""
    js = np.array(SEQUENCES[name]["matrices"])
    steps = SEQUENCES[name]["results"][form]["steps"]
    padded, present = weight_rules.pad(js)
    updates = weight_rules.play(PADDED[form], padded, present=present)
    for update, expected, j in zip(updates, steps, js, strict=True):
        vector = np.array(expected["vector"])
        assert goldens.error(update[: len(vector)], vector, j) < 1e-4


@given(samplers.players(shapes=[(2, 3), (3, 10), (5, 20)], decades=4.0))
def test_agrees_with_the_oracle(j):
    expected = histories.pcd([j], tau=0.3, eps=0.0)[0]
    update = weight_rules.update("pcd", j, tau=0.3)
    assert goldens.error(update, expected, j) < 1e-4


@pytest.mark.parametrize(
    ("others", "update"),
    [
        ([], [2.0, 0.0]),
        ([[0.0, 0.0]], [2.0, 0.0]),
        ([[0.0, 1.0], [0.0, -1.0]], [2.0, 0.0]),
        ([[-1.0, 0.0]], [-2.0, 0.0]),
    ],
)
def test_where_the_others_ask_nothing_or_too_much(others, update):
    """Alone, beside a zero row, between opposed players; one opponent turns it."""
    actual = weight_rules.update("pcd", [[2.0, 0.0], *others], tau=0.02)
    np.testing.assert_allclose(actual, update, atol=1e-5)


def test_one_share_for_each():
    update, _ = stepping.step(aggregators.pcd((0.5, 1.0), num_players=3), np.eye(3))
    np.testing.assert_allclose(update, [1 / 1.5, 0.5 / 1.5, 1 / 1.5], rtol=1e-5)


def test_leader_that_rests_or_is_absent_gives_zero():
    tx, both = aggregators.pcd(num_players=2), np.array([True, True])
    resting, _ = stepping.step(tx, np.diag([0.0, 1.0]), present=both)
    np.testing.assert_array_equal(resting, [0.0, 0.0])
    absent, state = stepping.step(tx, np.eye(2), present=np.array([False, True]))
    np.testing.assert_array_equal(absent, [0.0, 0.0])
    np.testing.assert_allclose(state.weighting.lengths, [[0.0, 1e-3**0.5]], rtol=1e-4)


def test_usual_lengths_are_remembered():
    """After lengths 2 and 1 the others' unit is not its length: their share moves."""
    j = np.array([[1.0, 0.0], [0.0, 2.0]])
    js = np.stack([j, 0.5 * j, 3 * j])
    updates = weight_rules.play(aggregators.pcd(0.5, 0.5, num_players=2), js)
    expected = histories.pcd(js, tau=0.5, decay=0.5, eps=0.0)
    np.testing.assert_allclose(updates, expected, rtol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"`tau` must be in \[0, 1\], got 2\.0\."):
        aggregators.pcd(2.0, num_players=2)
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\), got 1\.0\."):
        aggregators.pcd(decay=1.0, num_players=2)
