"""Gradients of a loss from its values: closed forms, and what is taken and returned."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import running
from es_losses import (
    KEY,
    PARAMS,
    assert_trees_close,
    for_each,
    gradients_of,
    keys,
    loss,
    loss_in_numpy,
    two_losses,
)
from neat_optax.evolution import centered_ranks, es_value_and_grad, raw, standardized
from oracle import es as es_oracle


@pytest.mark.parametrize("batch_size", [4, pytest.param(None, marks=pytest.mark.slow)])
def test_gradients_agree_with_the_oracle_for_the_same_noise(batch_size):
    shapings = [raw, centered_ranks, standardized]
    fn = for_each(shapings, loss, 0.3, 10, batch_size=batch_size)
    leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(PARAMS)]
    drawn = es_oracle.noise(KEY, [x.shape for x in leaves], 10)
    losses = es_oracle.mirrored_losses(loss_in_numpy, leaves, [0.3, 0.3], drawn)
    for shaping, (value, grads) in zip(shapings, fn(KEY, PARAMS), strict=True):
        utilities = getattr(es_oracle, shaping.name)(losses)
        np.testing.assert_allclose(value, losses.mean(), rtol=1e-6)
        for found, e in zip(jax.tree.leaves(grads), drawn, strict=True):
            expected = es_oracle.es_gradient(utilities, 0.3, e)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_linear_loss_gives_the_slope_through_the_noise_whatever_sigma():
    slope = np.float32([1.0, -2.0, 0.5])
    at = np.zeros(3, np.float32)

    @jax.jit
    def fn(sigma):
        return es_value_and_grad(lambda p: jnp.dot(slope, p), sigma, 8)(KEY, at)

    (drawn,) = es_oracle.noise(KEY, [(3,)], 8)
    expected = drawn.T @ (drawn @ slope) / 8
    for sigma in (0.01, 1.0, 10.0):
        value, grads = fn(np.float32(sigma))
        np.testing.assert_allclose(grads, expected, rtol=1e-4)
        np.testing.assert_allclose(value, 0, atol=1e-6 * sigma)


def over_keys(fn, count, params):
    """The gradients for so many keys."""
    return np.asarray(jax.jit(jax.vmap(fn, (0, None)))(keys(count), params)[1])


def test_a_linear_loss_gives_its_slope_with_the_known_variance():
    slope = np.float32([1.0, -2.0, 0.5])
    fn = es_value_and_grad(lambda p: jnp.dot(slope, p), 0.5, 16)
    grads = over_keys(fn, 2000, np.zeros(3, np.float32))
    variance = (slope**2 + np.sum(slope**2)) / 16
    errors = np.abs(np.mean(grads, axis=0) - slope) / np.sqrt(variance / 2000)
    assert np.all(errors < 4)
    np.testing.assert_allclose(np.var(grads, axis=0), variance, rtol=0.15)


def test_a_quadratic_gives_its_gradient_on_average():
    matrix = np.float32([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]])
    at = np.float32([1.0, -1.0, 2.0])
    fn = es_value_and_grad(lambda p: jnp.dot(p, jnp.dot(matrix, p)) / 2, 1.0, 4)
    grads = over_keys(fn, 4000, at)
    error = np.mean(grads, axis=0) - matrix @ at
    assert np.all(np.abs(error) < 4 * np.std(grads, axis=0) / np.sqrt(4000))


@pytest.mark.parametrize("size", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_the_cosine_with_the_gradient_is_as_expected(size):
    fn = es_value_and_grad(lambda p: jnp.sum(p), 0.1, 32)
    grads = over_keys(fn, 200, np.zeros(size, np.float32))
    cosines = np.sum(grads, axis=1) / np.linalg.norm(grads, axis=1) / size**0.5
    np.testing.assert_allclose(cosines.mean(), (32 / (32 + size)) ** 0.5, atol=0.02)


def test_sigma_for_each_leaf_and_each_entry():
    sigma = {"b": 0.1, "w": np.float32([[0.5, 0.0], [1.0, 2.0]])}
    _, grads = gradients_of(loss, sigma, 6)(KEY, PARAMS)
    leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(PARAMS)]
    sigmas = [0.1, np.asarray(sigma["w"], np.float64)]
    drawn = es_oracle.noise(KEY, [x.shape for x in leaves], 6)
    losses = es_oracle.mirrored_losses(loss_in_numpy, leaves, sigmas, drawn)
    expected = es_oracle.es_gradient(losses, 1.0, drawn[1])
    expected /= np.where(sigmas[1] == 0, np.inf, sigmas[1])
    np.testing.assert_allclose(grads["w"], expected, rtol=1e-4, atol=1e-5)
    assert grads["w"][0, 1] == 0


@pytest.mark.slow
def test_sigma_from_a_schedule_inside_the_step():
    schedule = optax.linear_schedule(1.0, 0.1, 10)

    @jax.jit
    def step(number):
        return es_value_and_grad(loss, schedule(number), 4)(KEY, PARAMS)

    assert_trees_close(step(10), gradients_of(loss, 0.1, 4)(KEY, PARAMS), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [3, pytest.param(None, marks=pytest.mark.slow)])
def test_jit_scan_and_vmap_over_seeds(batch_size):
    fn = es_value_and_grad(two_losses, 0.2, 8, batch_size=batch_size)
    jitted = running.quick_jit(fn)
    mapped = running.quick_jit(jax.vmap(fn, (0, None)))(keys(3), PARAMS)
    scan = running.quick_jit(
        lambda keys: jax.lax.scan(lambda _, key: (_, fn(key, PARAMS)), 0, keys)
    )
    mapped, scanned = jax.device_get((mapped, scan(keys(3))[1]))
    for number, key in enumerate(keys(3)):
        one = jitted(key, PARAMS)
        for many in (mapped, scanned):
            found = jax.tree.map(lambda x, i=number: x[i], many)
            assert_trees_close(found, one, 1e-5, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 3])
@running.quickly()
def test_without_jit(batch_size):
    slopes = jnp.array([[1.0, 2.0], [-1.0, 0.5]])
    fn = es_value_and_grad(lambda p: slopes @ p, 0.2, 4, batch_size=batch_size)
    assert_trees_close(fn(KEY, slopes[0]), jax.jit(fn)(KEY, slopes[0]), 1e-5, 1e-6)


@pytest.mark.slow
def test_a_seed_is_a_key():
    fn = gradients_of(loss, 0.1, 4)
    assert_trees_close(fn(3, PARAMS), fn(jax.random.key(3), PARAMS))


@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.slow)]
)
def test_low_precision_is_kept_and_computed_in_float32(dtype):
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)

    def checked(p):
        assert {leaf.dtype for leaf in jax.tree.leaves(p)} == {jnp.dtype(dtype)}
        return loss(jax.tree.map(lambda x: x.astype(jnp.float32), p))

    value, grads = jax.device_get(gradients_of(checked, 0.3, 16)(KEY, params))
    wide = jax.tree.map(lambda p: p.astype(jnp.float32), params)
    _, expected = jax.device_get(gradients_of(loss, 0.3, 16)(KEY, wide))
    assert value.dtype == jnp.float32
    expected = jax.tree.map(lambda g: g.astype(dtype), expected)
    found = jax.tree.map(lambda g: g.astype(jnp.float32), grads)
    assert jax.tree.map(jnp.result_type, grads) == jax.tree.map(
        jnp.result_type, expected
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b.astype(jnp.float32), rtol=0.05, atol=0.1)


def test_complex_parameters_follow_jax_grad():
    def of_complex(z):
        return jnp.real(jnp.sum(z * np.complex64([1 + 2j, -1j])))

    at = np.complex64([1 + 2j, -1j])
    _, grads = gradients_of(of_complex, 0.5, 20000, batch_size=1000)(KEY, at)
    np.testing.assert_allclose(grads, jax.jit(jax.grad(of_complex))(at), atol=0.08)


def test_trees_with_nothing_in_them():
    value, grads = gradients_of(lambda _: 2.0, 0.1, 3)(KEY, {})
    assert value == 2
    assert grads == {}
    empty = np.zeros((0, 2), np.float32)
    _, grads = jax.eval_shape(es_value_and_grad(jnp.sum, 0.1, 3), KEY, empty)
    assert grads.shape == (0, 2)


def test_integer_leaves_are_refused():
    params = {"n": jnp.array(3), "w": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"got int32 at \['n'\]; pass other leaves"):
        es_value_and_grad(lambda p: jnp.sum(p["w"]), 0.1, 3)(KEY, params)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"loss": 1.0}, "`loss` must be a function"),
        ({"sigma": 0.0}, r"`sigma` must be in \(0, inf\), got 0.0"),
        ({"sigma": {"b": -1.0, "w": 1.0}}, r"`sigma` must be in \[0, inf\), got -1.0"),
        ({"sigma": np.array([1.0, -1.0])}, r"`sigma` must be in \[0, inf\), got -1.0"),
        ({"sigma": lambda _: 0.1}, r"`sigma` must be a number in \[0, inf\)"),
        ({"num_pairs": 0}, "`num_pairs` must be an integer >= 1, got 0"),
        ({"num_pairs": 2.0}, "`num_pairs` must be an integer, got 2.0"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1, got 0"),
        ({"shaping": "raw"}, "`shaping` must be of type Shaping"),
        ({"has_aux": 1}, "`has_aux` must be True or False"),
    ],
)
def test_arguments_out_of_their_range(wrong, match):
    with pytest.raises(ValueError, match=match):
        es_value_and_grad(**{"loss": loss, "sigma": 0.1, "num_pairs": 4, **wrong})


@pytest.mark.parametrize(
    ("sigma", "match"),
    [
        ({"b": 0.1}, "`sigma` must have the tree structure of `params`"),
        (np.ones(2), "`sigma` must have the tree structure of `params`"),
        ({"b": np.ones(3), "w": 0.1}, r"the leaf's shape, \(2,\), got shape \(3,\)"),
    ],
)
def test_a_sigma_that_does_not_fit(sigma, match):
    with pytest.raises(ValueError, match=match):
        es_value_and_grad(loss, sigma, 4)(KEY, PARAMS)
