"""Refinement: the optimizer's own steps, for each individual."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import properties
import running
from neat_optax import evolution as evo

KEY = jax.random.key(0)
CHAIN = optax.chain(neo.neat_correction(0.5), optax.adam(0.1))


def loss(params, key):
    """A batch of one drawn with the key."""
    target = jax.random.normal(key, params["w"].shape)
    return jnp.sum((params["w"] - target) ** 2) + params["frozen"] * params["n"]


def population(n=3):
    params = {
        "w": np.random.default_rng(1).normal(size=(n, 4)).astype(np.float32),
        "frozen": np.ones(n, np.float32),
        "n": np.arange(n),
    }
    return evo.Population(params, np.arange(n, dtype=np.float32))


free = neo.by_path(lambda path, _: path == "w")


def refined_by(step, given):
    return running.quick_jit(step.update)(KEY, given, step.init(given))[0]


def test_steps_are_those_of_the_optimizer_alone():
    given = population()
    refined = jax.device_get(refined_by(evo.refine(CHAIN, loss, 3, mask=free), given))
    assert np.all(np.isnan(refined.fitness))

    @jax.jit
    def alone(one):
        w = {"w": one["w"]}
        state = CHAIN.init(w)
        for key in jax.random.split(KEY, 3):
            grad = jax.grad(lambda w, k=key: loss({**one, **w}, k))(w)
            updates, state = CHAIN.update(grad, state, w)
            w = optax.apply_updates(w, updates)
        return w["w"]

    for i in range(3):
        expected = alone(jax.tree.map(lambda x, i=i: x[i], given.params))
        np.testing.assert_allclose(refined.params["w"][i], expected, rtol=1e-5)
    for name in ("frozen", "n"):
        np.testing.assert_array_equal(refined.params[name], given.params[name])


def test_baldwin_keeps_weights_and_scores_what_was_learned():
    given, sgd = population(), optax.sgd(0.1, momentum=0.9)
    trained = refined_by(evo.refine(sgd, loss, 2), given)
    scored = refined_by(evo.refine(sgd, loss, 2, lamarckian=False), given)
    properties.assert_trees_equal(scored.params, given.params)
    last = jax.random.split(KEY, 2)[-1]
    expected = -jax.jit(jax.vmap(loss, (0, None)))(trained.params, last)
    np.testing.assert_allclose(scored.fitness, expected, rtol=1e-5)


BATCHES = [
    pytest.param(*one, marks=() if one == (True, 3) else pytest.mark.slow)
    for one in itertools.product([True, False], [1, 3, 7, 50])
]


@pytest.mark.slow
@pytest.mark.parametrize(("lamarckian", "batch_size"), BATCHES)
def test_batches_of_any_size_give_the_same_numbers(lamarckian, batch_size):
    given = population(7)
    options = {"lamarckian": lamarckian, "mask": free}
    expected = refined_by(evo.refine(CHAIN, loss, 3, **options), given)
    found = refined_by(
        evo.refine(CHAIN, loss, 3, batch_size=batch_size, **options), given
    )
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
        step = evo.refine(optax.sgd(0.1), wide, 1, mask=free, batch_size=batch_size)
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
