import jax
import numpy as np
import optax
import pytest

import running
from neat_optax.experiments.benchmarks.pinn.network import make_network, on_layers
from neat_optax.experiments.benchmarks.pinn.problem import jet_of

NETWORK = make_network(inputs=3, outputs=2, width=4, hidden=2)


@pytest.mark.slow
def test_the_jet_of_a_network_is_that_of_its_function():
    points = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    second = (0, 2)

    def both(key):
        params = 2 * NETWORK.init(key)
        own = NETWORK.jet(params, points, second)
        return own, jet_of(lambda x: NETWORK.apply(params, x), points, second)

    own, wanted = running.quick_jit(both)(jax.random.key(0))
    assert set(own.second) == set(second)
    for found, exact in zip(*map(jax.tree.leaves, (own, wanted)), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


def test_a_transformation_sees_kernels_and_biases():
    shapes = []

    def update(updates, state, params=None):
        shapes.append(jax.tree.map(lambda x: x.shape, (updates, params)))
        return jax.tree.map(lambda x: x[0], updates), state

    tx = on_layers(optax.GradientTransformation(lambda _: (), update), NETWORK.layers)
    params = jax.ShapeDtypeStruct((3 * 4 + 4 + 4 * 4 + 4 + 4 * 2 + 2,), np.float32)
    players = jax.ShapeDtypeStruct((3, *params.shape), np.float32)
    found, _ = jax.eval_shape(lambda g, p: tx.update(g, (), p), players, params)
    ((gradients, weights),) = shapes
    assert weights == [((3, 4), (4,)), ((4, 4), (4,)), ((4, 2), (2,))]
    assert gradients[1] == ((3, 4, 4), (3, 4))
    assert found.shape == params.shape
