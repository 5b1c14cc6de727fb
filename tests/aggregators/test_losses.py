import jax.numpy as jnp
import numpy as np
import optax

from neat_optax.aggregators import _losses


def test_losses_that_are_not_finite_count_as_absent():
    present = jnp.array([True, True, False])
    losses, usable = _losses.usable_losses([1, jnp.nan, 3], present)
    np.testing.assert_array_equal(losses, [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(usable, [True, False, False])
    assert losses.dtype == jnp.float32


def test_masked_softmax():
    logits, mask = jnp.log(jnp.array([1.0, 5.0, 3.0])), jnp.array([True, False, True])
    np.testing.assert_allclose(
        _losses.masked_softmax(logits, mask), [0.25, 0.0, 0.75], rtol=1e-6
    )
    np.testing.assert_array_equal(_losses.masked_softmax(logits, ~mask & mask), 0)


def test_learning_moves_only_some_and_stops_without_any():
    rule = _losses.check_optimizer(optax.adam(0.1), 1.0)
    start = _losses.start_learning(rule, 3, 1.0)
    slope = jnp.array([1.0, jnp.nan, -1.0])
    some = _losses.learn(rule, start, slope, jnp.array([True, False, True]))
    np.testing.assert_allclose(some.values, [0.9, 1.0, 1.1], rtol=1e-5)
    assert int(some.optimizer[0].count) == 1
    none = _losses.learn(rule, some, slope, jnp.zeros(3, bool))
    np.testing.assert_array_equal(none.values, some.values)
    assert int(none.optimizer[0].count) == 1
