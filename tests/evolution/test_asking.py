"""One generation: scans of steps, and scores from outside."""

import jax
import numpy as np
import pytest

import properties
from neat_optax import evolution as evo
from neat_optax.evolution import _asking
from search_runs import CHAIN, PARAMS, assert_same, fitness


def scattered(params, n):
    """Rows around given weights, of which the first is the given one."""
    far = np.linspace(0, 2, n, dtype=np.float32)

    def one(x):
        place = np.sin(1 + np.arange(x.size, dtype=np.float32)).reshape(x.shape)
        return x + np.multiply.outer(far, place).astype(x.dtype)

    return jax.tree.map(one, params)


STEPS = evo.search_steps(CHAIN, fitness, return_best=3)
POPULATION = evo.Population(scattered(PARAMS, 8), np.full(8, np.nan, np.float32))
score = jax.jit(fitness)


def five(start):
    return jax.lax.scan(lambda state, _: STEPS.step(state), start, length=5)


@pytest.mark.slow
def test_scans_compose():
    """5 + 5 generations are 10 steps, bit for bit."""
    state = STEPS.init(3, POPULATION)
    scan, rows = jax.jit(five), []
    middle, first = scan(state)
    end, second = scan(middle)
    for _ in range(10):
        state, row = STEPS.step(state)
        rows.append(row)
    assert_same(end, state)
    joined = jax.tree.map(lambda a, b: np.concatenate([a, b]), first, second)
    assert_same(joined, jax.tree.map(lambda *x: np.stack(x), *rows))


def played(scores):
    population = evo.unevaluated(jax.tree.map(lambda x: np.stack([x] * 8), PARAMS))
    state = _asking.start(CHAIN, 3, 3, population)
    return _asking.tell(CHAIN, state, scores)


def test_fitness_is_as_precise_as_python_in_64_bit_mode():
    with jax.enable_x64(True):
        scores = jax.ShapeDtypeStruct((8,), np.float64)
        state, row = jax.eval_shape(played, scores)
    kept = state.population.fitness, state.best.fitness, row["best"], row["mean"]
    assert {x.dtype for x in kept} == {np.dtype(np.float64)}


def test_fitness_is_single_precision_outside_64_bit_mode():
    state, _ = jax.eval_shape(played, np.zeros(8))
    assert state.best.fitness.dtype == np.float32


def test_ask_and_tell_do_what_step_does():
    inside = outside = STEPS.init(3, POPULATION.params)
    for _ in range(4):
        inside, _ = STEPS.step(inside)
        scores = np.full(8, 123.0)  # what is known is not taken
        for i in np.flatnonzero(np.isnan(outside.population.fitness)):
            one = jax.tree.map(lambda x, i=i: np.asarray(x)[i], STEPS.ask(outside))
            scores[i] = score(one)
        outside = STEPS.tell(outside, scores)
    assert outside.best_fitness < 0
    assert outside.evaluations == inside.evaluations == 8 + 3 * 6
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        (outside.best, outside.population),
        (inside.best, inside.population),
    )


def test_step_needs_a_function_in_jax():
    for evaluate in (None, evo.outside_jax(fitness)):
        steps = evo.search_steps(CHAIN, evaluate)
        with pytest.raises(ValueError, match="`evaluate` must be a function in JAX"):
            steps.step(STEPS.init(0, POPULATION))


@pytest.mark.slow
def test_seeds_under_vmap_are_searches_one_by_one():
    keys = jax.random.split(jax.random.key(0), 3)

    @jax.jit
    @jax.vmap
    def first(key):
        return STEPS.step(STEPS.init(key, POPULATION))

    together, histories = first(keys)
    for i, key in enumerate(keys):
        alone, history = STEPS.step(STEPS.init(key, POPULATION))
        for name, values in history.items():
            np.testing.assert_allclose(histories[name][i], values, rtol=1e-5)
        for part in ("best", "population"):
            found = jax.tree.map(
                lambda x, i=i: np.asarray(x)[i], getattr(together, part)
            )
            properties.assert_trees_close(found, getattr(alone, part), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_typed_keys_of_any_kind(kind):
    start = STEPS.init(jax.random.key(3, impl=kind), POPULATION)
    state, _ = STEPS.step(start)
    assert state.key.dtype == start.key.dtype
    assert np.any(jax.random.key_data(state.key) != jax.random.key_data(start.key))
