"""Whole searches that must find what they look for."""

import jax
import jax.numpy as jnp
import pytest

import running
from neat_optax import evolution as evo
from neat_optax.experiments.runs import evolve_tasks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def compiled_quickly():
    with running.quickly():
        yield


@pytest.mark.parametrize(
    ("selection", "crossover"),
    [
        (evo.truncation(8), evo.uniform()),
        (evo.tournament(4), evo.line()),
        (evo.linear_rank(2.0), evo.blend()),
        (evo.truncation(8), evo.clone),
    ],
    ids=repr,
)
def test_a_sphere_is_solved(selection, crossover):
    """In ten dimensions, from a distance of 3 to a thousandth of its square."""
    mutation = evo.gaussian(lambda t: 0.5 * 0.97**t, 1.0)
    found = evo.search(
        0,
        jnp.full(10, 3.0 / 10**0.5),
        lambda w: -jnp.sum(w**2),
        evo.breeder(selection, crossover, mutation),
        generations=120,
    )
    assert found.best_fitness > -9e-3


POLE = evolve_tasks.make_task("cartpole")
POLES = evo.breeder(
    evo.truncation(4), mutation=evo.gaussian(0.3, 1.0), num_elites=1, reevaluate=True
)


@pytest.mark.parametrize("seed", range(5))
def test_a_pole_is_balanced_within_twelve_generations(seed):
    """By one of 20 individuals, in 16 episodes; and not by luck alone."""
    found = evo.search(
        seed,
        POLE.init(jax.random.key(seed)),
        evo.of_individual(POLE.fitness, evaluation_key="shared"),
        POLES,
        generations=12,
        population_size=evolve_tasks.init_stacked(POLE, seed, 20),
        limits=evo.Limits(goal=POLE.goal),
    )
    assert found.stopped == "goal reached"
    assert POLE.test(found.best_params, jax.random.key(99)) > 0.5 * POLE.goal


def test_digits_are_learned_without_a_gradient():
    """A fifth of the usual generations, for a loss of 2.3 at chance."""
    task = evolve_tasks.make_task("digits")
    found = evo.search(
        0,
        task.init(jax.random.key(0)),
        evo.of_individual(task.fitness, evaluation_key="shared", batch_size=8),
        evo.breeder(),
        generations=60,
        population_size=evolve_tasks.init_stacked(task, 0, 64),
    )
    assert found.history["best"][0] < -2
    assert found.best_fitness > -0.8
    assert task.test(found.best_params, jax.random.key(0)) > 0.75
