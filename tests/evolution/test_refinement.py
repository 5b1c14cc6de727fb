"""Refinement: the optimizer's own steps, for each individual."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import properties
from neat_optax import by_path
from neat_optax import evolution as evo

KEY = jax.random.key(0)
CHAIN = optax.chain(neo.neat_correction(0.5), optax.adam(0.1))


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


free = by_path(lambda path, _: path == "w")


def test_steps_are_those_of_the_optimizer_alone():
    given = population()
    step = evo.refine(CHAIN, loss, 3, mask=free)
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


@pytest.mark.parametrize("lamarckian", [True, False])
def test_batches_of_any_size_give_the_same_numbers(lamarckian):
    given = population(7)
    options = {"lamarckian": lamarckian, "where": free}
    whole = evo.refine(CHAIN, loss, 3, **options)
    expected, _ = jax.jit(whole.update)(KEY, given, whole.init(given))
    for batch_size in (1, 3, 7, 50):
        step = evo.refine(CHAIN, loss, 3, batch_size=batch_size, **options)
        found, _ = jax.jit(step.update)(KEY, given, step.init(given))
        properties.assert_same_types(found, expected)
        properties.assert_trees_close(found, expected, rtol=1e-6)


def test_no_more_than_a_batch_is_trained_at_the_same_time():
    """What a step needs besides the weights grows with the batch, not with them."""

    def wide(params, key):
        del key
        waves = jnp.sin(params["w"][:, None] * jnp.arange(5000.0)[None])
        return jnp.sum(jnp.sort(waves, axis=1) ** 3)  # no loop sorts while it computes

    def memory(batch_size):
        given = population(16)
        step = evo.refine(CHAIN, wide, 1, mask=free, batch_size=batch_size)
        lowered = jax.jit(step.update).lower(KEY, given, step.init(given))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert memory(2) < memory(None) / 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(loss=3), r"^`loss` must be a function, got 3\.$"),
        (dict(num_steps=0), r"^`num_steps` must be an integer >= 1, got 0\.$"),
        (dict(batch_size=0), r"^`batch_size` must be an integer >= 1, got 0\.$"),
        (dict(batch_size=2.0), r"^`batch_size` must be an integer, got 2\.0\.$"),
        (dict(lamarckian=0), r"^`lamarckian` must be True or False, got 0\.$"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        evo.refine(**{"optimizer": CHAIN, "loss": loss, "num_steps": 1, **options})
