import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax.evolution import (
    Gaussian,
    centered_ranks,
    init_gaussian,
    pgpe_value_and_grad,
    raw,
    snes_sigma_rate,
    snes_value_and_grad,
)
from oracle import es as es_oracle

KEY = jax.random.key(5)
MEAN = np.array([1.0, -2.0, 0.5])
SIGMA = np.array([0.5, 1.0, 0.2])
ONES = np.ones(3, np.float32)
BOTH = pytest.mark.parametrize("fn", [snes_value_and_grad, pgpe_value_and_grad])


def search():
    return Gaussian(np.float32(MEAN), np.float32(np.log(SIGMA)))


def test_a_distribution_starts_with_the_given_spread():
    start = init_gaussian(np.float32(MEAN), np.float32(SIGMA))
    np.testing.assert_array_equal(start.mean, np.float32(MEAN))
    np.testing.assert_allclose(start.log_sigma, np.log(SIGMA), rtol=1e-6)


def loss(p):
    return jnp.sum(p**4) + p[0] * p[1]


def loss_in_numpy(p):
    return np.sum(p**4) + p[0] * p[1]


def sampled(num_pairs):
    """Noise and losses of both points of every pair."""
    (drawn,) = es_oracle.noise(KEY, [(3,)], num_pairs)
    losses = es_oracle.mirrored_losses(loss_in_numpy, [MEAN], [SIGMA], [drawn])
    return drawn, losses


@pytest.mark.parametrize("batch_size", [3, pytest.param(None, marks=pytest.mark.slow)])
def test_a_step_of_snes_is_the_published_one(batch_size):
    fn = jax.jit(snes_value_and_grad(loss, 8, batch_size=batch_size))
    value, grads = fn(KEY, search())
    drawn, losses = sampled(8)
    samples = np.stack([drawn, -drawn], axis=1).reshape(16, 3)
    best_first = samples[np.argsort(losses.ravel())]
    weights = es_oracle.nes_weights(16)
    mean = MEAN + SIGMA * (weights @ best_first)
    rate = snes_sigma_rate(MEAN)
    sigma = SIGMA * np.exp(rate / 2 * (weights @ (best_first**2 - 1)))
    tx = optax.partition(
        {"mean": optax.sgd(1.0), "log_sigma": optax.sgd(rate)},
        Gaussian("mean", "log_sigma"),
    )
    updates, _ = tx.update(grads, tx.init(search()))
    stepped = optax.apply_updates(search(), updates)
    np.testing.assert_allclose(stepped.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(np.exp(stepped.log_sigma), sigma, rtol=1e-5)
    np.testing.assert_allclose(value, losses.mean(), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [3, pytest.param(None, marks=pytest.mark.slow)])
def test_a_step_of_pgpe_is_the_published_one(batch_size):
    fn = jax.jit(pgpe_value_and_grad(loss, 8, batch_size=batch_size))
    _, grads = fn(KEY, search())
    drawn, losses = sampled(8)
    rewards, eps = -losses, SIGMA * drawn
    differences = (rewards[:, 0] - rewards[:, 1]) / 2
    above = rewards.mean(axis=1) - rewards.mean()
    of_mean = differences @ eps / 8
    of_sigma = above @ ((eps**2 - SIGMA**2) / SIGMA) / 8
    np.testing.assert_allclose(-grads.mean, of_mean, rtol=1e-5)
    np.testing.assert_allclose(-grads.log_sigma, of_sigma / SIGMA, rtol=1e-4)
    moved = SIGMA * np.exp(-1e-6 * np.asarray(grads.log_sigma))
    np.testing.assert_allclose(moved, SIGMA + 1e-6 * of_sigma, rtol=1e-6)


def test_pgpe_estimates_the_gradient_of_the_expected_loss():
    """For a sum of squares; the baseline takes one pair of eight from the spread."""
    fn = pgpe_value_and_grad(lambda p: jnp.sum(p**2), 8)
    many = jax.jit(jax.vmap(fn, (0, None)))
    _, grads = jax.device_get(many(jax.random.split(KEY, 2000), search()))
    expected = Gaussian(2 * MEAN * SIGMA**2, 2 * SIGMA**2 * 7 / 8)
    for found, true in zip(grads, expected, strict=True):
        error = np.abs(np.mean(found, axis=0) - true)
        assert np.all(error < 4 * np.std(found, axis=0) / np.sqrt(2000))


def test_pgpe_has_its_baseline_from_the_call():
    fn = jax.jit(pgpe_value_and_grad(lambda p, c: loss(p) + c, 8))
    before, after = (fn(KEY, search(), c)[1] for c in (0.0, 64.0))
    np.testing.assert_allclose(before.log_sigma, after.log_sigma, rtol=1e-3, atol=1e-4)


def test_the_rate_of_snes():
    assert snes_sigma_rate({"w": np.zeros((5, 4)), "b": np.zeros(5)}) == pytest.approx(
        (3 + np.log(25)) / 25
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fn", "shaping"),
    [(snes_value_and_grad, None), (pgpe_value_and_grad, centered_ranks)],
)
def test_the_sphere_is_solved_and_sigma_shrinks(fn, shaping):
    options = {} if shaping is None else {"shaping": shaping}
    value_and_grad = fn(lambda p: jnp.sum(p**2), 16, **options)

    def step(state, key):
        value, grads = value_and_grad(key, state)
        return jax.tree.map(lambda x, g: x - 0.5 * g, state, grads), value

    start = init_gaussian(jnp.full(5, 2.0), 1.0)
    end, values = jax.lax.scan(step, start, jax.random.split(KEY, 150))
    assert values[-1] < 1e-2 * values[0]
    assert np.all(end.log_sigma < -1)


@pytest.mark.fast("pgpe_value_and_grad")
@BOTH
def test_players_have_gradients_of_both_parts(fn):
    def losses(p):
        return jnp.stack([loss(p), jnp.sum(p), loss(p)])

    params = {"a": np.ones((2, 2), np.float32), "b": np.ones(1, np.float32)}
    flat = lambda p: losses(jnp.concatenate([p["a"].ravel(), p["b"]]))  # noqa: E731
    state = Gaussian(params, jax.tree.map(lambda x: 0 * x - 0.7, params))
    _, grads = jax.device_get(jax.jit(fn(flat, 6))(KEY, state))
    for leaf, one in zip(jax.tree.leaves(grads), jax.tree.leaves(state), strict=True):
        assert leaf.shape == (3, *one.shape)
        np.testing.assert_array_equal(leaf[0], leaf[2])
    tx = optax.chain(neo.aggregators.upgrad(), optax.sgd(0.1))

    def step(grads, state):
        return optax.apply_updates(state, tx.update(grads, tx.init(state), state)[0])

    assert isinstance(jax.eval_shape(step, grads, state), Gaussian)


@BOTH
def test_low_precision_is_kept(fn):
    mean = np.ones(3, jnp.bfloat16)
    state = jax.eval_shape(lambda mean: init_gaussian(mean, 0.5), mean)
    assert state.log_sigma.dtype == jnp.float32
    value_and_grad = fn(lambda p: jnp.sum(p).astype(jnp.float32), 4)
    _, grads = jax.eval_shape(value_and_grad, KEY, state)
    assert grads.mean.dtype == jnp.bfloat16
    assert grads.log_sigma.dtype == jnp.float32


@BOTH
def test_gradients_have_the_dtypes_of_both_parts(fn):
    parts = np.ones(3, jnp.bfloat16), np.ones(3, jnp.float16)
    value_and_grad = fn(lambda p: jnp.sum(p).astype(jnp.float32), 4)
    _, grads = jax.eval_shape(value_and_grad, KEY, Gaussian(*parts))
    assert [part.dtype for part in grads] == [jnp.bfloat16, jnp.float16]


@BOTH
def test_aux_and_other_arguments(fn):
    def with_aux(p, scale):
        return scale * jnp.sum(p), p[0]

    value_and_grad = fn(with_aux, 4, has_aux=True)
    (value, aux), grads = jax.eval_shape(value_and_grad, KEY, search(), 2.0)
    assert value.shape == ()
    assert aux.shape == (4, 2)
    assert grads.mean.shape == (3,)


def test_what_starts_with_sigma_zero_never_moves():
    start = init_gaussian(np.ones(2, np.float32), np.float32([0, 1]))

    def scaled(p, scale):
        return scale * jnp.sum(p)

    value, grads = jax.jit(snes_value_and_grad(scaled, 4))(KEY, start, 2.0)
    np.testing.assert_allclose(value, 4, atol=1e-5, err_msg="the other argument counts")
    end = jax.tree.map(lambda x, g: np.asarray(x - g), start, grads)
    assert end.mean[0] == 1
    assert np.exp(end.log_sigma[0]) == 0
    assert end.mean[1] != 1


@BOTH
@pytest.mark.parametrize(
    ("gaussian", "match"),
    [
        (ONES, "`gaussian` must be of type Gaussian"),
        (Gaussian(ONES, ONES[:2]), "`log_sigma` must have the shapes of"),
        (Gaussian(ONES, {}), "`log_sigma` must have the tree structure of"),
        (Gaussian(ONES.astype(int), ONES), "must have floating or complex"),
        (Gaussian(ONES.astype(complex), ONES), "must have real leaves"),
    ],
)
def test_a_distribution_of_the_wrong_kind(fn, gaussian, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(fn(jnp.sum, 4), KEY, gaussian)


@BOTH
def test_arguments_out_of_their_range(fn):
    with pytest.raises(ValueError, match="`num_pairs` must be an integer >= 1"):
        fn(jnp.sum, 0)
    with pytest.raises(ValueError, match="`shaping` must be of type Shaping"):
        fn(jnp.sum, 4, shaping=raw.utilities)


@pytest.mark.parametrize("sigma", [0.0, -1.0, {"w": -0.1}])
def test_a_sigma_out_of_its_range(sigma):
    with pytest.raises(ValueError, match="`sigma` must be in"):
        init_gaussian({"w": jnp.ones(2)}, sigma)
