import numpy as np
import pytest

from advice.made_measures import make_probed, products
from neat_optax.advice._measures import geometry, measure, over_steps, step_cosines


def draws(means, noise, steps=60, seed=0):
    """Two batches of gradients [T, P, N] around their means."""
    draw = np.random.default_rng(seed)
    shape = (steps, *np.shape(means))
    return [means + noise * draw.normal(size=shape) for _ in range(2)]


def test_noise_is_no_conflict():
    found = geometry(products(*draws(np.zeros((4, 50)), 1.0)), 4)
    assert 0.4 < found.conflict < 0.6
    assert 0.4 < found.within < 0.6
    assert found.excess.low < 0 < found.excess.high
    assert found.opposed_pairs == (0, 6)
    assert found.harmed == ()


def test_right_angles_are_no_conflict():
    """Half of the products are negative, and no player is opposed to itself."""
    means = 10 * np.eye(4, 50)
    found = geometry(products(*draws(means, 0.3)), 4)
    assert 0.4 < found.between < 0.6
    assert found.within == 0
    assert found.opposed_pairs == (0, 6)


def test_conflict_behind_noise_is_found():
    means = np.array([[1.0, 0, 0], [-0.6, 0.8, 0]]) @ np.eye(3, 30)
    found = geometry(products(*draws(means, 0.25, steps=400)), 2)
    assert found.opposed_pairs == (1, 1)
    np.testing.assert_allclose(found.expected[0, 1], -0.6, atol=0.1)
    assert abs(found.cosines[0, 1]) < 0.3  # noise has made it smaller


def test_the_mean_harms_whom_it_opposes():
    first = np.tile([[1.0, 0.0], [-3.0, 0.0], [0.0, 1.0]], (6, 1, 1))
    found = geometry(products(first), 3)
    assert found.harmed == (0,)
    gains = [gain.mean for gain in found.gain]
    length = 5**0.5
    np.testing.assert_allclose(gains, [-2 / length, 2 / length, 1 / length])


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_a_scale_of_all_gradients_changes_nothing(scale):
    means = np.array([[1.0, 0, 0], [-30.0, 40.0, 0]])
    batches = draws(means, 0.2)
    plain = measure(make_probed(*batches), ("a", "b"), True, {}, None)
    scaled = [scale * batch for batch in batches]
    other = measure(make_probed(*scaled), ("a", "b"), True, {}, None)
    for name in ("norm_ratio", "reliability", "stationarity"):
        np.testing.assert_allclose(
            getattr(plain, name), getattr(other, name), rtol=1e-4
        )
    np.testing.assert_allclose(plain.plain.expected, other.plain.expected)
    np.testing.assert_allclose(plain.norm_ratio, 50.0, rtol=0.1)


def test_stationarity_is_the_shortest_combination_over_the_shortest_gradient():
    angle = np.pi / 3
    rows = [[np.cos(angle), np.sin(angle)], [-np.cos(angle), np.sin(angle)]]
    found = measure(make_probed(np.tile(rows, (60, 1, 1))), ("a", "b"), False, {}, None)
    np.testing.assert_allclose(found.stationarity, np.sin(angle), rtol=1e-5)


def test_one_player_has_no_pairs():
    found = geometry(products(*draws(np.ones((1, 5)), 0.1)), 1)
    assert (found.conflict, found.between, found.opposed_pairs) == (0, 0, (0, 0))


def test_a_player_without_a_gradient_is_left_out():
    first = np.tile([[1.0, 2.0], [0.0, 0.0]], (60, 1, 1))
    found = measure(make_probed(first), ("a", "b"), False, {}, None)
    assert (found.norm_ratio, found.stationarity) == (1.0, 0.0)
    assert np.isfinite(found.plain.expected).all()
    assert (step_cosines(products(first), 2)[:, 1] == 0).all()


def test_steps_beside_each_other_count_as_one():
    """A slow wave has an interval as wide as that of its ten pieces."""
    values = np.repeat(np.arange(10.0), 50)
    mean, low, high = over_steps(values)
    np.testing.assert_allclose(mean, 4.5)
    np.testing.assert_allclose(high - low, 2 * 2.26216 * 3.02765 / 10**0.5, rtol=1e-4)
