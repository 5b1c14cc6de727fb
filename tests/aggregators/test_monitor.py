import numpy as np
import pytest

import neat_optax as neo
import stepping
from neat_optax import aggregators

G = np.array([[2.0, 0.0], [-1.0, 1.0], [0.0, 1.0]])


def answer(players):
    """The sum, by a solver that says how far it is from its condition."""
    return aggregators.Decision(players.present * 1.0, players.gramian[0, 0] / 16)


TX = aggregators.aggregate(
    aggregators.stateless_weighting(answer), num_players=3, monitor=True
)


def measured(g, present=stepping.EVERYONE):
    _, state = stepping.step(TX, g, present=present)
    return state.recorded


def test_by_hand():
    """The sum is [1, 2]; the segment from [2, 0] to [-1, 1] passes [.2, .6]."""
    latest = measured(G).latest
    root = np.sqrt(0.5)
    np.testing.assert_allclose(latest.conflicting_pairs, [1 / 3], rtol=1e-6)
    np.testing.assert_allclose(latest.worst_cosine, [-root], rtol=1e-6)
    np.testing.assert_allclose(latest.min_norm, [0.4**0.5], rtol=1e-5)
    np.testing.assert_allclose(latest.min_norm_ratio, [0.4**0.5], rtol=1e-5)
    np.testing.assert_array_equal(latest.weights, [[1.0, 1.0, 1.0]])
    cosines = np.array([1.0, root, 2.0]) / np.sqrt(5)
    np.testing.assert_allclose(latest.player_alignment, [cosines], rtol=1e-5)
    np.testing.assert_array_equal(latest.dropped, [0.0])


@pytest.mark.parametrize("power", [-20, 20])
def test_at_any_scale(power):
    """Only the length has a unit."""
    plain, scaled = measured(G).latest, measured(G * 10.0**power).latest
    np.testing.assert_allclose(scaled.min_norm / 10.0**power, plain.min_norm, rtol=1e-4)
    for name in ("min_norm_ratio", "worst_cosine", "player_alignment"):
        expected = getattr(plain, name)
        np.testing.assert_allclose(getattr(scaled, name), expected, rtol=1e-4)


def test_players_alike_and_alone():
    alike = measured(np.ones((3, 2))).latest
    np.testing.assert_array_equal(alike.conflicting_pairs, [0.0])
    np.testing.assert_allclose(alike.worst_cosine, [1.0], rtol=1e-6)
    np.testing.assert_allclose(alike.min_norm_ratio, [1.0], rtol=1e-5)
    alone = measured(G, present=np.array([False, True, False])).latest
    np.testing.assert_array_equal(alone.conflicting_pairs, [0.0])
    np.testing.assert_array_equal(alone.worst_cosine, [0.0])


def test_dropped_players_are_counted_and_weigh_nothing():
    g = G.copy()
    g[1, 0] = np.nan
    latest = measured(g).latest
    np.testing.assert_array_equal(latest.dropped, [1.0])
    np.testing.assert_array_equal(latest.weights, [[1.0, 0.0, 1.0]])
    np.testing.assert_array_equal(latest.conflicting_pairs, [0.0])
    np.testing.assert_array_equal(latest.player_alignment[0, 1], 0.0)


def test_absent_players_are_not_dropped_ones():
    present = np.array([True, False, True])
    recorded = measured(stepping.replace(G, 1, np.nan), present=present)
    np.testing.assert_array_equal(recorded.latest.dropped, [0.0])


def test_mean_over_steps_and_diagnostics():
    _, state = stepping.play(TX, [G, np.abs(G)], present=[stepping.EVERYONE] * 2)
    found = neo.diagnostics(state)["conflicting_pairs"]
    np.testing.assert_allclose(found.latest, 0.0)
    np.testing.assert_allclose(found.mean, 1 / 6, rtol=1e-6)


def test_one_row_for_each_scope():
    tree = {"a": G, "b": np.abs(G), "c": np.ones((3, 5))}
    tx = aggregators.sum(scope=neo.per_leaf, num_players=3, monitor=True)
    _, state = stepping.step(tx, tree)
    measures = state.recorded
    np.testing.assert_array_equal(measures.size, [2.0, 2.0, 5.0])
    expected = [1 / 3, 0.0, 0.0]
    np.testing.assert_allclose(measures.latest.conflicting_pairs, expected, rtol=1e-6)


def test_residual_is_the_solvers():
    latest = measured(G).latest
    np.testing.assert_array_equal(latest.residual, [4 / 16])


def test_opposed_players_have_a_min_norm_of_zero():
    opposed = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    latest = measured(opposed, present=np.array([True, True, False])).latest
    np.testing.assert_array_equal(latest.min_norm_ratio, [0.0])


def test_needs_the_number_of_players():
    with pytest.raises(
        ValueError, match=r"`num_players` must be given for monitor=Tru"
    ):
        aggregators.mean(monitor=True)


@pytest.mark.slow
def test_an_update_that_is_left_of_long_terms_says_so():
    """Opposed but for a tilt of 0.001: a float32 Gramian leaves a digit or two."""
    j = np.array([[1.0, 0, 0], [-1, 1e-3, 0], [0, -1, 1]])
    tx = aggregators.dual_proj(num_players=3, monitor=True)
    _, state = stepping.step(tx, j)
    assert 0 < state.recorded.latest.coherence[0] < 1e-3
    _, state = stepping.step(tx, np.abs(j))
    assert state.recorded.latest.coherence[0] > 0.5
