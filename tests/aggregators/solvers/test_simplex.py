import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

import samplers
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._simplex import min_norm, project_simplex
from oracle import quadratic

project = jax.jit(project_simplex)
nearest = jax.jit(lambda g, present: min_norm(correlation(g), present))


def test_projection_by_hand():
    everyone = jnp.ones(3, bool)
    for point, expected in (
        ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        ([2.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
        ([0.5, 0.5, -3.0], [0.5, 0.5, 0.0]),
        ([0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]),
    ):
        found = project(jnp.array(point), everyone)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@given(samplers.seeds)
def test_projection_agrees_with_the_oracle(seed):
    rng = np.random.default_rng(seed)
    point = rng.normal(size=6) * 10.0 ** rng.uniform(-2, 2)
    present = rng.uniform(size=6) < 0.7
    present[0] = True
    expected = np.zeros(6)
    expected[present] = quadratic.project_on_simplex(point[present])
    found = project(jnp.asarray(point, jnp.float32), jnp.asarray(present))
    # In units of the point: its digits behind the largest are lost when it is cast.
    np.testing.assert_allclose(found, expected, atol=1e-6 * (1 + np.abs(point).max()))


def test_projection_with_nobody_present():
    nobody = project(jnp.array([1.0, 2.0]), jnp.zeros(2, bool))
    np.testing.assert_array_equal(nobody, [0.0, 0.0])


def test_min_norm_by_hand():
    """From [1, 0] to [0, 2]: [.8, .4], of length sqrt .8."""
    found = nearest(jnp.diag(jnp.array([1.0, 4.0])), jnp.ones(2, bool))
    np.testing.assert_allclose(found.weights, [0.8, 0.2], rtol=1e-6)
    np.testing.assert_allclose(found.norm, 0.8**0.5, rtol=1e-6)


@given(samplers.improvable(shapes=[(5, 20)], decades=6.0))
def test_min_norm_agrees_with_the_oracle(j):
    rows = np.asarray(j, np.float32)
    found = nearest(jnp.asarray(rows @ rows.T), jnp.ones(5, bool))
    expected = quadratic.min_norm(j)
    np.testing.assert_allclose(found.norm, np.linalg.norm(expected), rtol=1e-4)
    np.testing.assert_allclose(jnp.sum(found.weights), 1.0, rtol=1e-6)
    assert found.residual <= 1e-5


def test_min_norm_of_zero_rows_and_of_nobody():
    gramian = jnp.diag(jnp.array([1.0, 0.0, 0.0]))
    idle = nearest(gramian, jnp.ones(3, bool))
    np.testing.assert_allclose(idle.weights, [0.0, 0.5, 0.5])
    assert idle.norm == 0
    absent = nearest(gramian, jnp.array([True, False, False]))
    np.testing.assert_allclose(absent.weights, [1.0, 0.0, 0.0])
    assert absent.norm == 1
    nobody = nearest(jnp.zeros((3, 3)), jnp.zeros(3, bool))
    np.testing.assert_array_equal(nobody.weights, [0.0, 0.0, 0.0])
    assert nobody.norm == 0
