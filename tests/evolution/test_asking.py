"""One generation: scans of steps, and scores from outside."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import properties
from neat_optax import evolution as evo
from search_runs import BREEDER, CHAIN, PARAMS, assert_same, fitness


def test_scans_compose():
    """5 + 5 generations are 10, bit for bit, and what search does."""
    steps = evo.search_steps(CHAIN, fitness, return_best=3)
    start = steps.init(3, evo.perturb(1, PARAMS, 8, 0.5))
    scan = functools.partial(jax.lax.scan, lambda state, _: steps.step(state))
    whole, history = scan(start, length=10)
    middle, first = scan(start, length=5)
    end, second = scan(middle, length=5)
    assert_same(end, whole)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    assert_same(joined, history)


def test_ask_and_tell_do_what_step_does():
    steps = evo.search_steps(CHAIN, fitness)
    inside = outside = steps.init(3, evo.perturb(1, PARAMS, 8, 0.5).params)
    for _ in range(4):
        inside, _ = steps.step(inside)
        scores = np.full(8, 123.0)  # what is known is not taken
        for i in np.flatnonzero(np.isnan(outside.population.fitness)):
            one = jax.tree.map(lambda x, i=i: x[i], steps.ask(outside))
            scores[i] = fitness(one)
        outside = steps.tell(outside, scores)
    assert outside.best_fitness < 0
    assert outside.evaluations == inside.evaluations == 8 + 3 * 6
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        (outside.best, outside.population),
        (inside.best, inside.population),
    )


def test_step_needs_a_function_in_jax():
    for evaluate in (None, evo.outside_jax(fitness)):
        steps = evo.search_steps(BREEDER, evaluate)
        state = steps.init(0, evo.perturb(0, PARAMS, 4, 1.0))
        with pytest.raises(ValueError, match="`evaluate` must be a function in JAX"):
            steps.step(state)


def test_seeds_under_vmap_are_searches_one_by_one():
    steps = evo.search_steps(CHAIN, fitness)

    def search(key):
        start = steps.init(key, evo.perturb(key, PARAMS, 8, 0.5))
        return jax.lax.scan(lambda state, _: steps.step(state), start, length=5)

    keys = jax.random.split(jax.random.key(0), 3)
    together, histories = jax.jit(jax.vmap(search))(keys)
    for i, key in enumerate(keys):
        alone, history = search(key)
        for name, values in history.items():
            np.testing.assert_allclose(histories[name][i], values, rtol=1e-5)
        best = jax.tree.map(lambda x, i=i: x[i], together.best)
        properties.assert_trees_close(best, alone.best, rtol=1e-5)


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_typed_keys_of_any_kind(kind):
    steps = evo.search_steps(CHAIN, fitness)
    start = steps.init(jax.random.key(3, impl=kind), evo.perturb(1, PARAMS, 8, 0.5))
    state, _ = steps.step(start)
    assert state.key.dtype == start.key.dtype
    assert np.any(jax.random.key_data(state.key) != jax.random.key_data(start.key))
