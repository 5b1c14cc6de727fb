"""What a generation costs, counted: random words and memory."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import _blocks
from neat_optax import evolution as evo
from neat_optax.evolution import _asking, _loop
from search_runs import NEARBY

KEY = jax.random.key(0)
N, GENES = 16, 5000


def random_words(jaxpr):
    """How many words of 32 random bits a computation draws."""
    count = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "random_bits":
            shape = (*equation.invars[0].aval.shape, *equation.params["shape"])
            count += math.prod(shape) * equation.params["bit_width"] / 32
        for value in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                count += random_words(inner)
    return count


@pytest.mark.parametrize(
    "step",
    [
        evo.breeder(),
        evo.breeder(mutation=evo.gaussian(0.15, 1.0)),
        evo.breeder(crossover=evo.uniform(3)),
        evo.chain(evo.minimal_criterion(), evo.prune_population(evo.breeder(), 0.5)),
    ],
    ids=["sparse", "dense", "three parents", "chain"],
)
def test_a_generation_draws_at_most_one_word_for_each_gene(step):
    """And those for the parents: random numbers are what breeding costs."""
    given = evo.Population(jnp.ones((N, GENES // 50, 50)), jnp.arange(float(N)))
    state = jax.eval_shape(step.init, given)
    jaxpr = jax.make_jaxpr(step.update)(KEY, given, state)
    assert N < random_words(jaxpr.jaxpr) <= N * GENES + 10 * N


@pytest.mark.slow
def test_a_batch_of_individuals_needs_the_memory_of_a_batch():
    def evaluate(params):
        table = jnp.sin(params[:, None] * jnp.arange(2000.0)[None])
        return jnp.sum(table @ jnp.ones(2000))

    def memory(batch_size):
        batched = evo.of_individual(evaluate, batch_size=batch_size)
        steps = evo.search_steps(NEARBY, batched)
        state = steps.init(0, np.ones((64, 20), np.float32))
        compiled = jax.jit(steps.step).lower(state).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory(4) < memory(None) / 4


@pytest.mark.slow
@pytest.mark.parametrize("breeder", [evo.breeder(), evo.mutation_breeder(8)])
def test_memory_of_a_generation(breeder, monkeypatch):
    """Of a large population, in sizes of it: the old one, the new one, random words."""
    monkeypatch.setattr(_blocks, "in_blocks", lambda: True)
    jax.clear_caches()
    weights = {n: np.zeros((256, 128), np.float32) for n in "abcd"}
    run = _asking.Run(breeder, _asking.as_evaluator(lambda w: -jnp.sum(w["a"] ** 2)))

    def start():
        return _asking.start(breeder, 1, 0, evo.perturb(0, weights, 64, 0.3))

    state = jax.eval_shape(start)
    assert _loop._is_large(state.population)
    needed = _asking.compiled_step.lower(run, state, (), ()).compile().memory_analysis()
    population = 4 * sum(x.size for x in jax.tree.leaves(state.population.params))
    assert (
        needed.argument_size_in_bytes + needed.output_size_in_bytes < 2.1 * population
    )
    assert needed.temp_size_in_bytes < 2.1 * population
