"""The largest singular values are pulled to one."""

import jax
import numpy as np
import optax
import pytest

from neat_optax.continual import spectral_regularization
from running import quick_jit, quickly, run

RNG = np.random.default_rng(3)


def drawn(*shape):
    return RNG.normal(size=shape).astype(np.float32)


PARAMS = {
    "conv": {"kernel": drawn(2, 2, 3, 4), "bias": drawn(4)},
    "stack": {"kernel": drawn(3, 4, 5), "bias": drawn(3, 5)},
    "zero": {"kernel": np.zeros((4, 2), np.float32)},
    "complex": {"kernel": (drawn(3, 2) + 1j * drawn(3, 2)).astype(np.complex64)},
    "norm": {"scale": drawn(5), "bias": drawn(5)},
}
SHAPES = {"conv": (1, 12, 4), "stack": (3, 4, 5), "complex": (1, 3, 2)}
POWER, STRENGTH = 3, 0.25


def expected(name):
    """By a singular value decomposition in float64."""
    kernel = PARAMS[name]["kernel"]
    matrices = kernel.reshape(SHAPES[name]).astype(complex)
    u, s, v = np.linalg.svd(matrices, full_matrices=False)
    top = s[:, :1, None]
    slope = 2 * POWER * (top**POWER - 1) * top ** (POWER - 1)
    return STRENGTH * (slope * u[:, :, :1] @ v[:, :1]).reshape(kernel.shape)


@pytest.fixture(scope="module")
def pulls():
    """What is added after many steps at the same weights."""
    tx = spectral_regularization(STRENGTH, POWER)

    def last(params, still):
        def step(state, _):
            updates, state = tx.update(still, state, params)
            return state, updates

        return jax.tree.map(
            lambda x: x[-1], jax.lax.scan(step, tx.init(params), None, length=200)[1]
        )

    return quick_jit(last)(PARAMS, jax.tree.map(np.zeros_like, PARAMS))


@pytest.mark.parametrize("name", SHAPES)
def test_the_vectors_that_are_kept_become_singular_vectors(pulls, name):
    found = pulls[name]["kernel"]
    np.testing.assert_allclose(found, expected(name), rtol=1e-3, atol=1e-3)


def test_biases_of_layers_go_to_zero_and_the_rest_stays(pulls):
    bias = PARAMS["stack"]["bias"].astype(float)
    squares = np.sum(bias**2, axis=1, keepdims=True)
    wanted = STRENGTH * 2 * POWER * squares ** (POWER - 1) * bias
    np.testing.assert_allclose(pulls["stack"]["bias"], wanted, rtol=1e-5)
    for still in (pulls["zero"]["kernel"], *pulls["norm"].values()):
        assert np.all(np.asarray(still) == 0)


@quickly()
def test_training_holds_the_largest_singular_value_at_one():
    tx = optax.chain(spectral_regularization(0.05), optax.sgd(1.0))
    kernel = {"kernel": np.diag(np.array([3.0, 0.5], np.float32)) + 0.1}
    _, after, _ = run(tx, {"kernel": np.zeros((80, 2, 2), np.float32)}, kernel)
    largest = np.linalg.svd(after["kernel"], compute_uv=False)[:, 0]
    assert largest[-1] == pytest.approx(1, abs=1e-3)


@quickly()
def test_a_kernel_that_is_not_finite_is_not_pulled_and_not_remembered():
    tx = spectral_regularization(1.0)
    params = {"kernel": np.array([[np.nan, 1.0], [0.0, 1.0]], np.float32)}
    still = {"kernel": np.zeros((1, 2, 2), np.float32)}
    updates, _, state = run(tx, still, params)
    assert np.all(updates["kernel"] == 0)
    assert np.all(np.isfinite(np.asarray(state.vectors)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(strength=-1.0), r"^`strength` must be in \[0, inf\), got -1\.0\.$"),
        (dict(power=0), r"^`power` must be an integer >= 1, got 0\.$"),
        (dict(iterations=0), r"^`iterations` must be an integer >= 1, got 0\.$"),
        (dict(biases=1), r"^`biases` must be True or False, got 1\.$"),
        (dict(key=-1), r"^`key` must be an integer >= 0, got -1\.$"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        spectral_regularization(**{"strength": 0.1, **options})
