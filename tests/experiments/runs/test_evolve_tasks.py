import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neat_optax.experiments.runs import (cartpole, evolve_tasks)
from neat_optax.experiments.data import datasets
from neat_optax.experiments.runs.evolve_tasks import (TASKS, evaluate, init_stacked, make_task)

SIZES = {
    "digits": {"hidden": [(64, 64), (64,)], "last": [(64, 10), (10,)]},
    "cartpole": {"hidden": [(4, 32), (32,)], "last": [(32, 2), (2,)]},
}


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return make_task(request.param)


def test_fresh_individuals_differ_and_are_float32(task):
    params = init_stacked(task, 0, 6)
    assert jax.tree.structure(params) == jax.tree.structure(
        task.init(jax.random.key(0))
    )
    for path, leaf in jax.tree.leaves_with_path(params):
        assert leaf.dtype == jnp.float32
        assert leaf.shape[0] == 6
        if "kernel" in jax.tree_util.keystr(path):
            assert len(np.unique(np.asarray(leaf).reshape(6, -1), axis=0)) == 6


@pytest.mark.parametrize("name", SIZES)
def test_networks_have_the_sizes_they_say(name):
    params = make_task(name).init(jax.random.key(0))
    shapes = {
        layer: [params[layer]["kernel"].shape, params[layer]["bias"].shape]
        for layer in params
    }
    assert shapes == SIZES[name]


def test_fitness_does_not_depend_on_chunks(task):
    """Rounding aside: what is multiplied at once changes the order of sums."""
    params, key = init_stacked(task, 1, 7), jax.random.key(2)
    found = evaluate(task.fitness, params, key, 7)
    one_by_one = [
        task.fitness(jax.tree.map(lambda x, i=i: x[i], params), key) for i in range(7)
    ]
    assert found.shape == (7,)
    assert found.dtype == jnp.float32
    for size in (1, 3, 100):
        again = evaluate(task.fitness, params, key, size)
        np.testing.assert_allclose(again, one_by_one, rtol=2e-6)
    np.testing.assert_allclose(found, one_by_one, rtol=2e-6)


def test_scores_are_single_numbers(task):
    params, key = task.init(jax.random.key(0)), jax.random.key(1)
    for score in (task.fitness, task.select, task.test):
        assert score(params, key).shape == ()
    assert task.solved(task.enough)
    assert not task.solved(np.nextafter(task.enough, -np.inf))
    assert not task.solved(float("nan"))


def test_all_individuals_of_a_generation_meet_the_same_starts():
    """Equal individuals have equal returns; the next key has other starts."""
    task = make_task("cartpole")
    one = task.init(jax.random.key(5))
    params = jax.tree.map(lambda x: jnp.broadcast_to(x, (4, *x.shape)), one)
    now, then = (evaluate(task.fitness, params, key, 2) for key in (0, 1))
    assert len(set(now.tolist())) == 1
    assert now[0] != then[0]


def balancing():
    """Weights with which a policy 4-32-2 keeps the pole upright."""
    task = make_task("cartpole")
    blank = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(0)))
    blank["hidden"]["kernel"] = (
        blank["hidden"]["kernel"].at[:, 0].set(jnp.array([0.1, 0.2, 1.0, 1.0]))
    )
    blank["last"]["kernel"] = blank["last"]["kernel"].at[0].set(jnp.array([-1.0, 1.0]))
    return task, blank


def test_a_policy_that_balances_is_known_to():
    task, params = balancing()
    assert task.fitness(params, jax.random.key(0)) == 500 == task.goal
    assert task.solved(task.test(params, jax.random.key(1)))
    assert task.act(params, jnp.array([0.0, 0.0, 0.1, 0.0])) == 1
    assert task.act(params, jnp.array([0.0, 0.0, -0.1, 0.0])) == 0


def test_a_policy_that_falls_is_known_to():
    task, params = balancing()
    always_left = jax.tree.map(jnp.zeros_like, params)
    found = task.fitness(always_left, jax.random.key(0))
    returns = cartpole.episodes(lambda _: 0, jax.random.key(0), evolve_tasks.EPISODES)
    assert found == returns.mean()
    assert not task.solved(task.test(always_left, jax.random.key(1)))


def test_digits_are_searched_on_training_images_and_tested_on_others():
    task, parts = make_task("digits"), datasets.load("digits")
    params, key = task.init(jax.random.key(3)), jax.random.key(0)

    def logits(x):
        hidden = x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None]
        hidden = jax.nn.relu(hidden)
        return hidden @ params["last"]["kernel"] + params["last"]["bias"][None]

    losses = optax.softmax_cross_entropy_with_integer_labels(
        logits(parts.train.x), jnp.asarray(parts.train.y)
    )
    np.testing.assert_allclose(task.fitness(params, key), -losses.mean(), rtol=1e-5)
    for score, part in ((task.select, parts.validation), (task.test, parts.test)):
        right = np.argmax(logits(part.x), axis=-1) == part.y
        np.testing.assert_allclose(score(params, key), right.mean(), rtol=1e-6)


def test_data_are_arguments_of_a_search_and_defaults_of_anyone_else(task):
    params, key = task.init(jax.random.key(0)), jax.random.key(1)
    assert task.fitness(params, key) == task.fitness(params, key, *task.args)


def test_no_image_is_a_constant_of_a_compiled_search():
    task = make_task("digits")
    params, key = task.init(jax.random.key(0)), jax.random.key(1)
    traced = jax.make_jaxpr(task.fitness)(params, key, *task.args)
    assert len(task.args[0].x) == 1077
    assert not any(np.size(constant) > 1 for constant in traced.consts)


def test_sum_is_of_sizes():
    task = make_task("sum")
    params = {"kernel": jnp.array([[1.0], [-2.0], [0.5]])}
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
        evaluate(task.fitness, init_stacked(task, 0, 2), 0, 0)
