import functools

import jax.numpy as jnp
import numpy as np
import optax

import stepping
from neat_optax.aggregators import _losses


def test_losses_that_are_not_finite_count_as_absent():
    present = np.array([True, True, False])
    losses, usable = _losses.usable_losses([1, np.nan, 3], present)
    np.testing.assert_array_equal(losses, [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(usable, [True, False, False])
    assert losses.dtype == jnp.float32


def test_masked_softmax():
    logits, mask = np.log([1.0, 5.0, 3.0]), np.array([True, False, True])
    weights = stepping.call(_losses.masked_softmax, logits, mask)
    np.testing.assert_allclose(weights, [0.25, 0.0, 0.75], rtol=1e-6)
    nobody = stepping.call(_losses.masked_softmax, logits, ~mask & mask)
    np.testing.assert_array_equal(nobody, 0)


def test_learning_moves_only_some_and_stops_without_any():
    rule = _losses.check_optimizer(optax.adam(0.1), 1.0)
    start = _losses.start_learning(rule, 3, 1.0)
    slope, learn = np.array([1.0, np.nan, -1.0]), functools.partial(_losses.learn, rule)
    some = stepping.call(learn, start, slope, np.array([True, False, True]))
    np.testing.assert_allclose(some.values, [0.9, 1.0, 1.1], rtol=1e-5)
    assert int(some.optimizer[0].count) == 1
    none = stepping.call(learn, some, slope, np.zeros(3, bool))
    np.testing.assert_array_equal(none.values, some.values)
    assert int(none.optimizer[0].count) == 1
