"""Distances from isometries, against singular values in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax.continual import _isometry
from running import quick_jit

RNG = np.random.default_rng(4)
MATRICES = {
    "tall": RNG.normal(size=(2, 5, 3)).astype(np.float32),
    "wide": RNG.normal(size=(2, 3, 5)).astype(np.float32),
    "complex": (RNG.normal(size=(4, 3)) + 1j * RNG.normal(size=(4, 3))).astype(
        np.complex64
    ),
}
FOUND = quick_jit(
    lambda trees: jax.tree.map(
        lambda x: (_isometry.deviation(x), _isometry.pull(x)), trees
    )
)(MATRICES)
NEAREST = quick_jit(
    lambda trees: jax.tree.map(lambda x: _isometry.polar_factor(x, 30), trees)
)


@pytest.mark.parametrize("name", MATRICES)
def test_deviation_and_pull_are_functions_of_singular_values(name):
    u, s, v = np.linalg.svd(MATRICES[name].astype(complex), full_matrices=False)
    deviation, pull = FOUND[name]
    np.testing.assert_allclose(deviation, np.sum((s**2 - 1) ** 2, -1), rtol=1e-5)
    expected = u * (4 * s * (s**2 - 1))[..., None, :] @ v
    np.testing.assert_allclose(pull, expected, rtol=1e-4, atol=1e-4)


def test_the_iterations_lead_to_the_polar_factor_at_any_scale():
    scaled = {f"{k} {c}": c * x for k, x in MATRICES.items() for c in (1e-30, 1, 1e30)}
    scaled = jax.tree.map(lambda x: x.astype(np.result_type(x, np.float32)), scaled)
    scaled = {k: np.asarray(x, MATRICES[k.split()[0]].dtype) for k, x in scaled.items()}
    for name, found in NEAREST(scaled).items():
        matrix = MATRICES[name.split()[0]].astype(complex)
        u, _, v = np.linalg.svd(matrix, full_matrices=False)
        np.testing.assert_allclose(found, u @ v, rtol=1e-4, atol=1e-4)


def test_zero_stays_zero():
    zero = NEAREST({"zero": jnp.zeros((2, 2))})["zero"]
    assert np.all(np.asarray(zero) == 0)
