import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import running
from neat_optax.players import value_and_samo_grads

RNG = np.random.default_rng(0)
ROOTS = RNG.normal(size=(3, 5, 5))
MATRICES = ROOTS @ ROOTS.transpose(0, 2, 1) + np.eye(5)
CENTERS = RNG.normal(size=(3, 5))
PARAMS = {"w": RNG.normal(size=3), "b": RNG.normal(size=2)}
POINT = np.concatenate([PARAMS["b"], PARAMS["w"]])
RHO = 0.1


def quadratic(p, number):
    gap = jnp.concatenate([p["b"], p["w"]]) - CENTERS[number]
    return gap @ jnp.asarray(MATRICES[number]) @ gap / 2


def losses_fn(p):
    return jnp.stack([quadratic(p, number) for number in range(3)])


def flat(gradients):
    return np.concatenate([gradients["b"], gradients["w"]], axis=1).astype(float)


def play(loss_fn, **given):
    """Losses and gradients, and how far the parameters were moved for each player."""
    with jax.enable_x64(True):
        step = running.quick_jit(value_and_samo_grads(loss_fn, RHO, **given))
        losses, gradients = jax.device_get(step(0, PARAMS))
    gradients = flat(gradients)
    inverses = np.linalg.inv(MATRICES)
    moved = np.einsum("pij,pj->pi", inverses, gradients) + CENTERS - POINT
    return losses, gradients, moved


OWN = np.einsum("pij,pj->pi", MATRICES, POINT - CENTERS)
MEAN = OWN.mean(axis=0)
LEAVES = slice(0, 2), slice(2, 5)


def test_own_gradients_and_the_mean():
    """The direction is mixed leaf by leaf, and then has one length."""
    losses, _, moved = play(losses_fn, alpha=0.25, probe=None, chunk_size=2)
    wanted = np.zeros((3, 5))
    for leaf in LEAVES:
        length = np.linalg.norm(OWN[:, leaf], axis=1, keepdims=True)
        unit = OWN[:, leaf] / length * np.linalg.norm(MEAN[leaf])
        wanted[:, leaf] = 0.25 * MEAN[leaf] + 0.75 * unit
    wanted *= RHO / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(moved, wanted, rtol=1e-6, atol=1e-9)
    values = [quadratic(PARAMS, number) for number in range(3)]
    np.testing.assert_allclose(losses, values, rtol=1e-5)


@pytest.mark.slow
def test_estimates_grow_the_players_own_losses():
    """By random directions of their own, of one length, split as the mean's slope."""
    functions = [lambda p, number=number: quadratic(p, number) for number in range(3)]
    _, gradients, moved = play(functions, alpha=0.0)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), RHO, rtol=1e-6)
    lengths = [np.linalg.norm(moved[:, leaf], axis=1) for leaf in LEAVES]
    wanted = np.linalg.norm(MEAN[LEAVES[0]]) / np.linalg.norm(MEAN[LEAVES[1]])
    np.testing.assert_allclose(lengths[0] / lengths[1], wanted, rtol=1e-6)
    cosines = moved @ moved.T / RHO**2
    assert np.max(np.abs(cosines - np.eye(3))) < 0.99
    _, together, _ = play(losses_fn, alpha=0.0)
    np.testing.assert_allclose(together, gradients, rtol=1e-6)


def test_an_estimate_has_the_sign_of_the_slope():
    """Of one leaf and one player, a step along the estimate goes up."""
    slope = np.array([1.0, -2.0, 0.5, 3.0])
    bent = lambda p: jnp.sum(p * slope)[None] + jnp.sum(p**4)  # noqa: E731
    step = running.quick_jit(value_and_samo_grads(bent, 0.5, 0.0))
    for key in range(4):
        _, gradients = step(key, np.zeros(4))
        moved = np.cbrt((np.asarray(gradients[0], float) - slope) / 4)
        np.testing.assert_allclose(np.linalg.norm(moved), 0.5, rtol=1e-3)
        assert moved @ slope > 0


@pytest.mark.slow
def test_in_a_step_with_an_aggregator():
    tx = optax.chain(neo.aggregators.mean(), optax.sgd(0.1))

    def step(carry, key):
        params, state = carry
        losses, g = value_and_samo_grads(losses_fn, 1e-2)(key, params)
        updates, state = tx.update(g, state, params)
        return (optax.apply_updates(params, updates), state), losses

    params = jax.tree.map(np.float32, PARAMS)
    keys = jax.random.split(jax.random.key(0), 20)
    play = lambda p: jax.lax.scan(step, (p, tx.init(p)), keys)[1]  # noqa: E731
    losses = np.asarray(running.quick_jit(play)(params)).mean(axis=1)
    assert losses[-1] < 0.9 * losses[0]


def test_zero_gradients_and_aux():
    def flat_fn(p):
        return 0 * losses_fn(p), p["b"]

    step = running.quick_jit(value_and_samo_grads(flat_fn, has_aux=True))
    (losses, aux), gradients = step(0, jax.tree.map(np.float32, PARAMS))
    assert not np.any(losses) and not np.any(flat(gradients))
    np.testing.assert_allclose(aux, PARAMS["b"], rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match=r"`alpha` must be in \[0, 1\], got 1.5"):
        value_and_samo_grads(losses_fn, alpha=1.5)
    with pytest.raises(ValueError, match=r"`rho` must be in \(0, inf\), got 0.0"):
        value_and_samo_grads(losses_fn, 0.0)
    with pytest.raises(ValueError, match=r"`probe` must be in \(0, inf\), got -1.0"):
        value_and_samo_grads(losses_fn, probe=-1.0)
