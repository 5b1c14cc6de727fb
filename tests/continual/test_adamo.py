"""All singular values are pulled to one, beside the moments of Adam."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neat_optax.continual import adamo, isometry_regularization
from running import quick_jit, run

RNG = np.random.default_rng(5)
PARAMS = {
    "conv": {"kernel": RNG.normal(size=(2, 2, 3, 4)), "bias": RNG.normal(size=4)},
    "dense": {"kernel": RNG.normal(size=(3, 5)), "bias": RNG.normal(size=5)},
    "norm": {"scale": RNG.normal(size=5)},
}
PARAMS = jax.tree.map(lambda x: x.astype(np.float32), PARAMS)


def penalty(params, scale=1.0):
    """Equation 16: the Gram matrix of the shorter side."""
    tall = params["conv"]["kernel"].reshape(12, 4)
    wide = params["dense"]["kernel"]
    parts = tall.T @ tall - scale * jnp.eye(4), wide @ wide.T - scale * jnp.eye(3)
    return sum(jnp.sum(part**2) for part in parts)


def test_it_is_the_gradient_of_the_penalty():
    tx = isometry_regularization(0.5, 2.0)
    still = jax.tree.map(lambda x: np.zeros((1, *x.shape), x.dtype), PARAMS)
    updates, _, _ = run(tx, still, PARAMS)
    gradient = quick_jit(jax.grad(penalty))(PARAMS, 2.0)
    jax.tree.map(
        lambda u, g: np.testing.assert_allclose(u[0], 0.5 * g, rtol=1e-4, atol=1e-4),
        updates,
        gradient,
    )


def test_the_moments_do_not_see_the_pull():
    """Equation 20, by hand with Adam of its own."""
    gradients = jax.tree.map(
        lambda x: RNG.normal(size=(3, *x.shape)).astype(x.dtype), PARAMS
    )
    mask = {"conv": False, "dense": True, "norm": True}
    _, found, _ = run(adamo(0.01, 0.3, b1=0.8, mask=mask), gradients, PARAMS)
    adam = optax.adam(0.01, b1=0.8)

    def step(carry, gradient):
        params, state = carry
        updates, state = adam.update(gradient, state, params)
        pull = jax.grad(penalty)(params)["dense"]
        after = optax.apply_updates(params, updates)
        moved = jax.tree.map(lambda w, r: w - 0.01 * 0.3 * r, after["dense"], pull)
        return ({**after, "dense": moved}, state), None

    play = lambda p, g: jax.lax.scan(step, (p, adam.init(p)), g)[0][0]  # noqa: E731
    expected = quick_jit(play)(PARAMS, gradients)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[-1], b, rtol=1e-4, atol=1e-5),
        found,
        expected,
    )


def test_what_is_not_finite_is_not_pulled():
    params = {"kernel": np.array([[np.inf, 1.0], [0.0, 1.0]], np.float32)}
    still = {"kernel": np.zeros((1, 2, 2), np.float32)}
    updates, _, _ = run(isometry_regularization(1.0), still, params)
    assert np.all(np.isfinite(updates["kernel"]))


def test_bad_input():
    message = r"^`strength` must be in \[0, inf\), got -1\.0\.$"
    for factory in (isometry_regularization, lambda x: adamo(0.1, x)):
        with pytest.raises(ValueError, match=message):
            factory(-1.0)
