import functools

import numpy as np

import stepping
from neat_optax.aggregators._pseudo_gradient import bias_share, divide_by_pseudo_root


def test_a_share_keeps_its_digits_near_one():
    counts = np.array([0, 1, 2, 1000])
    expected = 1 - 0.9999 ** np.arange(1001.0)[counts]
    known, zero = (functools.partial(bias_share, decay) for decay in (0.9999, 0.0))
    np.testing.assert_allclose(stepping.call(known, counts), expected, rtol=1e-6)
    np.testing.assert_array_equal(stepping.call(zero, counts), [0, 1, 1, 1])
    traced = stepping.call(bias_share, 0.9999, counts)
    np.testing.assert_allclose(traced, expected, rtol=1e-3)


def test_the_moment_is_that_of_gradients_which_average_to_the_direction():
    """With the debiased average as direction, Adam itself comes out."""
    rng = np.random.default_rng(0)
    average, moment = np.zeros(4), np.zeros(4)
    pseudo_average, pseudo_moment = np.zeros(4), np.zeros(4)
    for t in range(1, 5):
        g = rng.normal(size=4)
        average, moment = 0.9 * average + 0.1 * g, 0.999 * moment + 0.001 * g**2
        direction = average / (1 - 0.9**t)
        update, pseudo_average, pseudo_moment = stepping.call(
            divide_by_pseudo_root, direction, pseudo_average, pseudo_moment, t
        )
        root = np.sqrt(moment / (1 - 0.999**t))
        np.testing.assert_allclose(update, direction / root, rtol=1e-4, atol=1e-5)
