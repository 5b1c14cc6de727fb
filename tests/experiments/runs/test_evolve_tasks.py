import functools

import jax
import numpy as np
import optax
import pytest

import running
from neat_optax.experiments.data import datasets
from neat_optax.experiments.runs import cartpole, evolve_tasks
from neat_optax.experiments.runs.evolve_tasks import (
    TASKS,
    evaluate,
    init_stacked,
    make_task,
)

SIZES = {
    "digits": {"hidden": [(64, 64), (64,)], "last": [(64, 10), (10,)]},
    "cartpole": {"hidden": [(4, 32), (32,)], "last": [(32, 2), (2,)]},
}


made = functools.cache(make_task)


@pytest.fixture(params=TASKS)
def task(request):
    return made(request.param)


@functools.cache
def fresh(name, seed, count=None):
    """Weights of one individual, or of so many, as NumPy arrays."""
    task = made(name)
    key = jax.random.key(seed)
    make = task.init if count is None else lambda key: init_stacked(task, key, count)
    return jax.tree.map(np.asarray, jax.jit(make)(key))


def test_fresh_individuals_differ_and_are_float32(task):
    params = fresh(task.name, 0, 6)
    one = jax.eval_shape(task.init, jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(one)
    for path, leaf in jax.tree.leaves_with_path(params):
        assert leaf.dtype == np.float32
        assert leaf.shape[0] == 6
        if "kernel" in jax.tree_util.keystr(path):
            assert len(np.unique(np.asarray(leaf).reshape(6, -1), axis=0)) == 6


@pytest.mark.parametrize("name", SIZES)
def test_networks_have_the_sizes_they_say(name):
    params = jax.eval_shape(made(name).init, jax.random.key(0))
    shapes = {
        layer: [params[layer]["kernel"].shape, params[layer]["bias"].shape]
        for layer in params
    }
    assert shapes == SIZES[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sum", "digits", pytest.param("cartpole", marks=pytest.mark.slow)]
)
def test_fitness_does_not_depend_on_chunks(name):
    """Rounding aside: what is multiplied at once changes the order of sums."""
    task = made(name)
    params, key = fresh(task.name, 1, 7), jax.random.key(2)

    @running.quick_jit
    def scores(params):
        chunks = [evaluate(task.fitness, params, key, size) for size in (1, 3, 100)]
        return chunks, jax.vmap(lambda one: task.fitness(one, key))(params)

    chunks, expected = scores(params)
    for found in chunks:
        assert found.shape == (7,)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_scores_are_single_numbers(task):
    params, key = fresh(task.name, 0), jax.random.key(1)
    for score in (task.fitness, task.select, task.test):
        assert jax.eval_shape(score, params, key).shape == ()
    assert task.solved(task.enough)
    assert not task.solved(np.nextafter(task.enough, -np.inf))
    assert not task.solved(float("nan"))


def test_all_individuals_of_a_generation_meet_the_same_starts():
    """Equal individuals have equal returns; the next key has other starts."""
    task = made("cartpole")
    one = fresh("cartpole", 5)
    params = jax.tree.map(lambda x: np.broadcast_to(x, (4, *x.shape)), one)
    score = jax.jit(lambda key: evaluate(task.fitness, params, key, 2))
    now, then = (score(jax.random.key(seed)) for seed in (0, 1))
    assert len(set(now.tolist())) == 1
    assert now[0] != then[0]


def balancing():
    """Weights with which a policy 4-32-2 keeps the pole upright."""
    task = made("cartpole")
    blank = jax.tree.map(np.zeros_like, fresh("cartpole", 0))
    blank["hidden"]["kernel"][:, 0] = [0.1, 0.2, 1.0, 1.0]
    blank["last"]["kernel"][0] = [-1.0, 1.0]
    return task, blank


def test_a_policy_that_balances_is_known_to():
    task, params = balancing()
    assert jax.jit(task.fitness)(params, jax.random.key(0)) == 500 == task.goal
    assert task.solved(jax.jit(task.test)(params, jax.random.key(1)))
    act = jax.jit(task.act)
    assert act(params, np.float32([0.0, 0.0, 0.1, 0.0])) == 1
    assert act(params, np.float32([0.0, 0.0, -0.1, 0.0])) == 0


def test_a_policy_that_falls_is_known_to():
    task, params = balancing()
    always_left = jax.tree.map(np.zeros_like, params)

    @jax.jit
    def scores():
        key = jax.random.key(0)
        returns = cartpole.episodes(lambda _: 0, key, evolve_tasks.EPISODES)
        test = task.test(always_left, jax.random.key(1))
        return task.fitness(always_left, key), returns.mean(), test

    found, expected, test = scores()
    assert found == expected
    assert not task.solved(test)


def test_digits_are_searched_on_training_images_and_tested_on_others():
    task, parts = made("digits"), datasets.load("digits")
    params, key = fresh("digits", 3), jax.random.key(0)

    def logits(x):
        hidden = x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None]
        hidden = np.maximum(0, hidden)
        return hidden @ params["last"]["kernel"] + params["last"]["bias"][None]

    losses = jax.jit(optax.softmax_cross_entropy_with_integer_labels)(
        logits(parts.train.x), parts.train.y
    )
    found = jax.jit(task.fitness)(params, key)
    np.testing.assert_allclose(found, -np.mean(losses), rtol=1e-5)
    for score, part in ((task.select, parts.validation), (task.test, parts.test)):
        right = np.argmax(logits(part.x), axis=-1) == part.y
        np.testing.assert_allclose(jax.jit(score)(params, key), right.mean(), rtol=1e-6)


def test_data_are_arguments_of_a_search_and_defaults_of_anyone_else(task):
    params, key = fresh(task.name, 0), jax.random.key(1)
    fitness = jax.jit(lambda *given: task.fitness(params, key, *given))
    np.testing.assert_allclose(fitness(), fitness(*task.args), rtol=1e-6)


def test_no_image_is_a_constant_of_a_compiled_search():
    task = made("digits")
    params, key = fresh("digits", 0), jax.random.key(1)
    traced = jax.make_jaxpr(task.fitness)(params, key, *task.args)
    assert len(task.args[0].x) == 1077
    assert not any(np.size(constant) > 1 for constant in traced.consts)


def test_sum_is_of_sizes():
    task = make_task("sum")
    params = {"kernel": np.float32([[1.0], [-2.0], [0.5]])}
    assert task.fitness(params, jax.random.key(0)) == -3.5


def test_settings_are_ones_a_breeder_can_have(task):
    settings = task.settings
    assert 0 < settings.elites <= settings.parents < settings.population
    assert settings.generations >= 1
    assert settings.mutation_scale > 0
    assert 0 < settings.mutation_rate <= 1
    assert settings.reevaluate == (task.name == "cartpole")  # noise makes some lucky


def test_an_unknown_task_is_named():
    with pytest.raises(
        ValueError, match=r"`task` must be one of .*, got digit; did you"
    ):
        make_task("digit")


def test_a_chunk_must_have_someone_in_it():
    task = make_task("sum")
    with pytest.raises(ValueError, match="`batch_size` must be an integer >= 1, got 0"):
        evaluate(task.fitness, fresh("sum", 0, 2), 0, 0)
