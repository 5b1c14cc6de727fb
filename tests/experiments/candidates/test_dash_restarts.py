import jax
import numpy as np
import optax
import pytest

import running
from neat_optax.continual import dash_weights
from neat_optax.experiments.candidates.dash_restarts import dash

EVERY, LOOKS = 4, 2
START = {"kernel": np.array([[1.0, 2.0], [3.0, -1.0]], np.float32)}
draw = np.random.default_rng(0)
GRADIENTS = {"kernel": draw.normal(size=(7, 2, 2)).astype(np.float32)}


@pytest.mark.slow
def test_a_new_task_is_looked_at_before_it_is_learned():
    tx = dash(optax.trace(0.5), EVERY, LOOKS)

    @running.quick_jit
    def run():
        def step(carry, gradients):
            params, state = carry
            updates, state = tx.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), (params, updates)

        _, seen = jax.lax.scan(step, (START, tx.init(START)), GRADIENTS)
        mean = jax.tree.map(lambda g: (g[4] + g[5]) / 2, GRADIENTS)
        old = jax.tree.map(lambda x: x[3], seen[0])
        return seen, dash_weights(old, mean, 0.3)

    (params, updates), expected = jax.tree.map(np.asarray, run())
    kernels, moves = params["kernel"], updates["kernel"]
    assert (moves[:4] != 0).all()
    np.testing.assert_array_equal(kernels[4], kernels[3])
    np.testing.assert_allclose(kernels[5], expected["kernel"], rtol=1e-5)
    # the optimizer has forgotten the first task
    np.testing.assert_allclose(moves[6], GRADIENTS["kernel"][6], rtol=1e-6)
