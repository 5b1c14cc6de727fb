import numpy as np
import pytest

from advice.made_measures import draws, make_probed, products
from neat_optax.advice._geometry import crossed_cosines
from neat_optax.advice._measures import _alike, measure


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_a_scale_of_all_gradients_changes_nothing(scale):
    means = np.array([[1.0, 0, 0], [-30.0, 40.0, 0]])
    batches = draws(means, 0.2)
    plain = measure(make_probed(*batches), ("a", "b"), sampled=True)
    scaled = [scale * batch for batch in batches]
    other = measure(make_probed(*scaled), ("a", "b"), sampled=True)
    for name in ("norm_ratio", "reliability", "stationarity"):
        np.testing.assert_allclose(
            getattr(plain, name), getattr(other, name), rtol=1e-4
        )
    np.testing.assert_allclose(plain.plain.expected, other.plain.expected)
    np.testing.assert_allclose(plain.norm_ratio, 50.0, rtol=0.1)


def test_stationarity_is_the_shortest_combination_over_the_shortest_gradient():
    angle = np.pi / 3
    rows = [[np.cos(angle), np.sin(angle)], [-np.cos(angle), np.sin(angle)]]
    found = measure(make_probed(np.tile(rows, (60, 1, 1))), ("a", "b"), sampled=False)
    np.testing.assert_allclose(found.stationarity, np.sin(angle), rtol=1e-5)


def test_a_player_without_a_gradient_is_left_out():
    first = np.tile([[1.0, 2.0], [0.0, 0.0]], (60, 1, 1))
    found = measure(make_probed(first), ("a", "b"), sampled=False)
    assert (found.norm_ratio, found.stationarity) == (1.0, 0.0)
    assert np.isfinite(found.plain.expected).all()


def test_players_that_have_no_aim_of_their_own_are_alike():
    shared = np.ones((5, 40))
    for means, alike in ((shared, True), (shared + 5 * np.eye(5, 40), False)):
        batches = np.concatenate(draws(means, 2.0), axis=1)
        assert _alike(crossed_cosines(products(batches), 5), 60) is alike
    pair = np.concatenate(draws(np.ones((3, 40)), 2.0), axis=1)
    assert not _alike(crossed_cosines(products(pair), 3), 60)
