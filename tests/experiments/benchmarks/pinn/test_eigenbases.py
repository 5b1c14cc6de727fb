from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import running
from neat_optax import aggregators
from neat_optax.experiments.benchmarks.pinn.eigenbases import shampoo, soap

RANDOM = np.random.default_rng(0)
GRADIENTS = RANDOM.normal(size=(4, 3, 2)).astype(np.float32)
VECTORS = RANDOM.normal(size=(4, 2)).astype(np.float32)
STEPS = [{"w": w, "b": b} for w, b in zip(GRADIENTS, VECTORS, strict=True)]
PARAMS = {"w": np.zeros((3, 2), np.float32), "b": np.zeros(2, np.float32)}
DECAY = 0.9


def updates(tx, steps):
    """What a transformation makes of each of several gradients."""

    @running.quick_jit
    def run(stacked):
        def step(state, gradient):
            found, state = tx.update(gradient, state, PARAMS)
            return state, found

        return jax.lax.scan(step, tx.init(PARAMS), stacked)[1]

    return run(jax.tree.map(lambda *x: np.stack(x), *steps))


def adam(gradients):
    m = v = 0
    for number, g in enumerate(gradients, 1):
        m = DECAY * m + (1 - DECAY) * g
        v = DECAY * v + (1 - DECAY) * g**2
        yield (m / (1 - DECAY**number)) / (np.sqrt(v / (1 - DECAY**number)) + 1e-8)


def factors(gradients, every):
    """Averages of both factors, and their eigenvectors, at each step."""
    left = right = 0
    for number, g in enumerate(gradients):
        left = DECAY * left + (1 - DECAY) * g @ g.T
        right = DECAY * right + (1 - DECAY) * g.T @ g
        if number % every == 0:
            bases = np.linalg.eigh(left)[1], np.linalg.eigh(right)[1]
        yield left, right, *bases


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2])
def test_soap_is_adam_in_the_eigenbases(every):
    found = updates(soap(optax.identity(), decay=DECAY, every=every), STEPS)
    g64 = GRADIENTS[:3].astype(float)  # the first factor has no third eigenvalue
    m = v = 0
    for number, (g, known) in enumerate(zip(g64, factors(g64, every), strict=True), 1):
        *_, left, right = known
        m = DECAY * m + (1 - DECAY) * g
        v = DECAY * v + (1 - DECAY) * (left.T @ g @ right) ** 2
        share = 1 - DECAY**number
        turned = (left.T @ m @ right / share) / (np.sqrt(v / share) + 1e-8)
        wanted = left @ turned @ right.T
    if every == 1:  # else the bases are those of a factor of rank two
        np.testing.assert_allclose(found["w"][2], wanted, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found["b"], list(adam(VECTORS)), rtol=1e-4)
    assert np.isfinite(found["w"]).all()


@pytest.mark.slow
def test_shampoo_divides_by_fourth_roots():
    found = updates(shampoo(optax.identity(), decay=DECAY, every=1), STEPS)
    *_, (left, right, *_) = factors(GRADIENTS.astype(float), 1)
    share = 1 - DECAY**4
    weights = (1 - DECAY) * DECAY ** np.arange(3, -1, -1) / share
    mean = np.einsum("t,tij->ij", weights, GRADIENTS)

    def root(matrix):
        values, vectors = np.linalg.eigh(matrix / share)
        return vectors * values**-0.25 @ vectors.T

    wanted = 3**0.5 * root(left) @ mean @ root(right)
    np.testing.assert_allclose(found["w"][-1], wanted, rtol=1e-3, atol=1e-4)
    last = VECTORS**2 * weights[:, None]
    adam_like = weights @ VECTORS / np.sqrt(last.sum(axis=0))
    np.testing.assert_allclose(found["b"][-1], adam_like, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [soap, shampoo])
def test_the_mean_of_players_inside_is_the_mean_before(optimizer):
    spread = {"w": np.ones((3, 2), np.float32), "b": np.ones(2, np.float32)}
    players = [
        {key: np.stack([x + spread[key], x - spread[key]]) for key, x in step.items()}
        for step in STEPS
    ]
    inside = updates(optimizer(aggregators.mean(num_players=2), every=2), players)
    before = updates(optimizer(optax.identity(), every=2), STEPS)
    np.testing.assert_allclose(inside["w"][-1], before["w"][-1], rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(inside["b"], before["b"], rtol=1e-3)


@pytest.mark.slow
def test_what_the_mean_of_players_lacks_is_divided_by_no_zero():
    first = optax.stateless(lambda found, _: jax.tree.map(lambda g: g[0], found))
    mean, apart = np.zeros((2, 3, 2), np.float32)
    mean[0, 0] = apart[1, 1] = 1
    players = {"w": np.stack([mean + apart, mean - apart]), "b": np.ones((2, 2))}
    found = updates(shampoo(first, every=1), [players] * 2)
    assert np.max(np.abs(found["w"])) < 1e4  # 1e8 and more over eps


class Noted(NamedTuple):
    own: Any
    least: jax.Array


def noting(aggregator):
    """Keeps the smallest cosine of any aggregate with a player, in the metric."""

    def update(updates, state, params=None, *, metric, **extra_args):
        found, own = aggregator.update(
            updates, state.own, params, metric=metric, **extra_args
        )
        scale = jnp.sqrt(metric["w"])
        row = (found["w"] / scale).ravel()
        rows = (updates["w"] / scale[None]).reshape(2, -1)
        norms = jnp.linalg.norm(rows, axis=1) * jnp.linalg.norm(row)
        least = jnp.minimum(state.least, jnp.min(rows @ row / norms))
        return found, Noted(own, least)

    return optax.GradientTransformationExtraArgs(
        lambda params: Noted(aggregator.init(params), jnp.ones(())), update
    )


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [soap, shampoo])
def test_a_correction_inside_a_metric_opposes_nobody_there(optimizer):
    random = np.random.default_rng(1)
    apart = np.array([1.5, -1.2]).reshape(1, 2, 1, 1)
    both = (random.normal(size=(20, 2, 3, 2)) + apart).astype(np.float32)
    players = {"w": both, "b": both[:, :, 0]}

    def least(aggregator):
        tx = optimizer(noting(aggregator), decay=DECAY, every=2)

        @running.quick_jit
        def last(stacked):
            def step(state, own):
                return tx.update(own, state, PARAMS)[1], None

            return jax.lax.scan(step, tx.init(PARAMS), stacked)[0]

        leaves = jax.tree.leaves(last(players), is_leaf=_noted)
        return next(x.least for x in leaves if _noted(x))

    plain = least(aggregators.sum(num_players=2))
    corrected = least(aggregators.upgrad(num_players=2))
    assert plain < -0.1
    assert corrected > -1e-3


def _noted(node):
    return isinstance(node, Noted)
