import numpy as np

from advice.made_measures import draws, products
from neat_optax.advice._geometry import geometry, over_steps, step_cosines


def test_noise_is_no_conflict():
    found = geometry(products(*draws(np.zeros((4, 50)), 1.0)), 4, 60)
    assert 0.4 < found.conflict < 0.6
    assert 0.4 < found.within < 0.6
    assert found.excess.low < 0 < found.excess.high
    assert found.opposed_pairs == (0, 6)
    assert found.harmed == ()


def test_right_angles_are_no_conflict():
    """Half of the products are negative, and no player is opposed to itself."""
    means = 10 * np.eye(4, 50)
    found = geometry(products(*draws(means, 0.3)), 4, 60)
    assert 0.4 < found.between < 0.6
    assert found.within == 0
    assert found.opposed_pairs == (0, 6)


def test_conflict_behind_noise_is_found():
    means = np.array([[1.0, 0, 0], [-0.6, 0.8, 0]]) @ np.eye(3, 30)
    found = geometry(products(*draws(means, 0.25, steps=400)), 2, 400)
    assert found.opposed_pairs == (1, 1)
    np.testing.assert_allclose(found.expected[0, 1], -0.6, atol=0.1)
    assert abs(found.cosines[0, 1]) < 0.3  # noise has made it smaller


def test_the_mean_harms_whom_it_opposes():
    first = np.tile([[1.0, 0.0], [-3.0, 0.0], [0.0, 1.0]], (6, 1, 1))
    found = geometry(products(first), 3, 6)
    assert found.harmed == (0,)
    gains = [gain.mean for gain in found.gain]
    length = 5**0.5
    np.testing.assert_allclose(gains, [-2 / length, 2 / length, 1 / length])


def test_one_player_has_no_pairs():
    found = geometry(products(*draws(np.ones((1, 5)), 0.1)), 1, 60)
    assert (found.conflict, found.between, found.opposed_pairs) == (0, 0, (0, 0))


def test_steps_beside_each_other_count_as_one():
    """A slow wave has an interval as wide as that of its ten pieces."""
    values = np.repeat(np.arange(10.0), 50)
    mean, low, high = over_steps(values, 500)
    np.testing.assert_allclose(mean, 4.5)
    np.testing.assert_allclose(high - low, 2 * 2.26216 * 3.02765 / 10**0.5, rtol=1e-4)


def test_a_player_without_a_gradient_has_no_cosines():
    first = np.tile([[1.0, 2.0], [0.0, 0.0]], (6, 1, 1))
    found = geometry(products(first), 2, 6)
    assert np.isfinite(found.expected).all()
    assert found.harmed == ()
    assert (step_cosines(products(first), 2)[:, 1] == 0).all()


def test_batches_that_come_again_say_nothing_new():
    once = np.random.default_rng(0).normal(size=8)
    _, low, high = over_steps(once, 8)
    again = over_steps(np.tile(once, 20), 8)
    np.testing.assert_allclose(again[1:], [low, high])
    unaware = over_steps(np.tile(once, 20), 160)
    assert unaware.high - unaware.low < (high - low) / 2
