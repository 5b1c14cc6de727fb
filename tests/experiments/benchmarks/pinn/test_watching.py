import jax
import numpy as np
import optax

import running
from neat_optax import aggregators
from neat_optax.experiments.benchmarks.pinn.watching import seen, watch


def test_cosine_and_turn_are_taken_in_the_metric():
    tx = optax.chain(watch(aggregators.constant([1.0, 0.0])), optax.scale(2.0))
    players = np.array([[3.0, 0.0], [-3.0, 4.0]], np.float32)

    @running.quick_jit
    def both(metric):
        state = tx.init(players[0])
        _, plain = tx.update(players, state)
        update, inside = tx.update(players, state, metric=metric)
        return update, seen(plain), seen(inside)

    update, plain, inside = both(np.array([1.0, 16.0], np.float32))
    np.testing.assert_allclose(update, [6, 0])
    np.testing.assert_allclose(plain["inner_worst_cosine"], -0.6, rtol=1e-6)
    np.testing.assert_allclose(inside["inner_worst_cosine"], -9 / (3 * 10**0.5))
    np.testing.assert_allclose(plain["correction_ratio"], 2**0.5, rtol=1e-6)


def test_what_is_recorded_is_found_in_any_state():
    tx = optax.chain(watch(optax.identity()), optax.sgd(0.1))
    state = jax.eval_shape(tx.init, np.zeros(2, np.float32))
    assert set(seen(state)) == {"inner_worst_cosine", "correction_ratio"}
