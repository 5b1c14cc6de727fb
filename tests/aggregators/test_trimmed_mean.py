import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax.aggregators._trimmed_mean import trimmed_mean, trimmed_mean_leaf
from properties import assert_same_types

TRIMMED = [trimmed_mean(count) for count in range(4)]
CASES = goldens.cases("aggregators", "torchjd.TrimmedMean_1.float64")


SEATS, COLUMNS = 10, 50


def reduced(g, num_trimmed, **extra):
    return stepping.step(TRIMMED[num_trimmed], g, **extra)[0]


def test_by_hand():
    g = np.array([[1.0, 7.0], [2.0, 8.0], [3.0, -9.0], [100.0, 1.0]])
    np.testing.assert_allclose(reduced(g, 1), [2.5, 4.0])
    np.testing.assert_allclose(reduced(g, 0), np.mean(g, axis=0))


def test_recorded():
    """All with columns and absent players behind them, so that their shape is one."""
    for name, expected in CASES.items():
        j = goldens.MATRICES[name]
        if expected is None:
            assert len(j) < 3, name
            continue
        count, size = j.shape
        padded = np.pad(j, ((0, SEATS - count), (0, COLUMNS - size)))
        update = reduced(padded, 1, present=np.arange(SEATS) < count)
        assert goldens.error(update[:size], expected, j) < 1e-6, name
        assert not np.any(update[size:]), name


def test_the_largest_trim_is_the_median():
    for count in (3, 4, 7):
        g = np.random.default_rng(count).normal(size=(count, 5)).astype(np.float32)
        median = reduced(g, (count - 1) // 2)
        np.testing.assert_allclose(median, np.median(g, axis=0), rtol=1e-6)


def test_of_equal_entries_as_many_are_left_out_as_of_others():
    columns = [[1, 2, 2, 2, 9], [1, 1, 1, 2, 5], [3] * 5, [1, 4, 4, 4, 5]]
    g = np.array(columns, np.float32).T
    np.testing.assert_allclose(reduced(g, 1), [2.0, 4 / 3, 3.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(reduced(g, 2), [2.0, 1.0, 3.0, 4.0], rtol=1e-6)


def test_of_many_players_and_extremes():
    g = np.random.default_rng(2).normal(size=(300, 2)).astype(np.float32)
    present = np.arange(300) < 290
    leaf = stepping.call(trimmed_mean_leaf, g, present, np.asarray(140))
    expected = np.sort(g[:290], axis=0)[140:150].mean(axis=0)
    np.testing.assert_allclose(leaf, expected, rtol=1e-5)


def test_hostile_players_are_bounded_by_the_others():
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(5, 20))
    hostile = 1e30 * rng.normal(size=(2, 20))
    update = reduced(np.concatenate([honest, hostile]), 2)
    assert np.all(update <= honest.max(0) + 1e-6)
    assert np.all(update >= honest.min(0) - 1e-6)


def test_absent_players_shrink_the_trim_to_the_median():
    g = np.array([[1.0], [2.0], [6.0], [50.0], [9.0]])
    present = np.array([True, True, False, True, False])
    np.testing.assert_allclose(reduced(g, 1, present=present), [2.0])
    np.testing.assert_allclose(reduced(g, 2, present=present), [2.0])
    two = np.array([True, False, False, True, False])
    np.testing.assert_allclose(reduced(g, 2, present=two), [25.5])
    np.testing.assert_allclose(reduced(g, 1, present=np.zeros(5, bool)), [0.0])


def test_absent_players():
    stepping.check_absent_players(TRIMMED[1])


def test_complex_parts_are_ordered_separately():
    g = np.array([[1 + 9j], [2 + 8j], [3 - 7j]], np.complex64)
    update = reduced(g, 1)
    assert_same_types(update, g[0])
    np.testing.assert_array_equal(update, [2 + 8j])


def test_a_mean_in_float16_does_not_overflow():
    """40000 + 40000 is infinite in float16."""
    g = np.full((3, 2), 4e4, np.float16)
    update = reduced(g, 0)
    assert_same_types(update, g[0])
    assert update.tolist() == [4e4, 4e4]


def test_order_of_players_does_not_matter():
    g = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
    np.testing.assert_allclose(reduced(g, 1), reduced(g[::-1], 1), rtol=0, atol=3e-7)


def test_leaf_accepts_a_traced_number():
    g = np.arange(10.0).reshape(5, 2)
    leaf = stepping.call(trimmed_mean_leaf, g, np.ones(5, bool), np.asarray(2))
    np.testing.assert_allclose(leaf, [4.0, 5.0])


def test_errors():
    with pytest.raises(ValueError, match=r"`num_trimmed` must be an integer >= 0, got"):
        trimmed_mean(-1)
    sentence = r"more than 2 \* num_trimmed = 4 players, got 3\."
    with pytest.raises(ValueError, match=sentence):
        stepping.step(TRIMMED[2], stepping.gradients(0))
