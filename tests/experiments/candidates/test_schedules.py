import numpy as np

from neat_optax.experiments.candidates.schedules import SCHEDULES


def test_a_constant_rate_stays():
    assert SCHEDULES["constant"](0.3, 100) == 0.3


def test_a_cosine_falls_to_zero():
    rate = SCHEDULES["cosine"](0.3, 100)
    np.testing.assert_allclose(
        [rate(step) for step in (0, 50, 100)], [0.3, 0.15, 0.0], atol=1e-7
    )
