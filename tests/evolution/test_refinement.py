"""Refinement: the optimizer's own steps, for each individual."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as no
import properties
from neat_optax import evolution as evo

KEY = jax.random.key(0)
CHAIN = optax.chain(no.neat_correction(0.5), optax.adam(0.1))


def loss(params, key):
    """A batch of one drawn with the key."""
    target = jax.random.normal(key, params["w"].shape)
    return jnp.sum((params["w"] - target) ** 2) + params["frozen"] * params["n"]


def population(n=3):
    params = {
        "w": jax.random.normal(jax.random.key(1), (n, 4)),
        "frozen": jnp.ones(n),
        "n": jnp.arange(n),
    }
    return evo.Population(params, jnp.arange(float(n)))


def free(path, leaf):
    del leaf
    return path == "w"


def test_steps_are_those_of_the_optimizer_alone():
    given = population()
    step = evo.refine(CHAIN, loss, 3, where=free)
    refined, _ = jax.jit(step.update)(KEY, given, step.init(given))
    assert np.all(np.isnan(refined.fitness))
    for i in range(3):
        one = evo.individual(given, i)
        w, state = {"w": one["w"]}, CHAIN.init({"w": one["w"]})
        for key in jax.random.split(KEY, 3):
            grad = jax.grad(lambda w, k=key, o=one: loss({**o, **w}, k))(w)
            updates, state = CHAIN.update(grad, state, w)
            w = optax.apply_updates(w, updates)
        found = evo.individual(refined, i)
        np.testing.assert_allclose(found["w"], w["w"], rtol=1e-5)
        properties.assert_trees_equal(
            {k: found[k] for k in ("frozen", "n")}, {k: one[k] for k in ("frozen", "n")}
        )


def test_baldwin_keeps_weights_and_scores_what_was_learned():
    given = population()
    trained, _ = evo.refine(CHAIN, loss, 2).update(KEY, given, optax.EmptyState())
    step = evo.refine(CHAIN, loss, 2, lamarckian=False)
    scored, _ = step.update(KEY, given, step.init(given))
    properties.assert_trees_equal(scored.params, given.params)
    last = jax.random.split(KEY, 2)[-1]
    expected = [-loss(evo.individual(trained, i), last) for i in range(3)]
    np.testing.assert_allclose(scored.fitness, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(loss=3), r"^`loss` must be a function, got 3\.$"),
        (dict(num_steps=0), r"^`num_steps` must be an integer >= 1, got 0\.$"),
        (dict(lamarckian=0), r"^`lamarckian` must be True or False, got 0\.$"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        evo.refine(**{"optimizer": CHAIN, "loss": loss, "num_steps": 1, **options})
