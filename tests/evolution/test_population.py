"""Populations: stacking, ranking, and chains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import properties
from neat_optax import by_path
from neat_optax import evolution as evo
from oracle import evolution as oracle

# Numbers below the smallest normal one are left out: XLA compares them as zeros.
ANY = st.one_of(
    st.floats(-3, 3, width=32, allow_subnormal=False),
    st.sampled_from([np.nan, -np.inf, np.inf, 0.0, 1.0]),
)
SCORES = st.sampled_from([1, 4, 9]).flatmap(
    lambda size: st.lists(ANY, min_size=size, max_size=size)
)
order, rank = jax.jit(evo.order), jax.jit(evo.rank)
individual = jax.jit(evo.individual)


@given(SCORES)
def test_order_is_that_of_the_oracle(scores):
    assert order(np.float32(scores)).tolist() == oracle.order(scores)


@given(
    st.lists(st.integers(-9, 9), min_size=6, max_size=6, unique=True),
    st.sampled_from([0.0, np.inf, -np.inf]),
    st.permutations(range(7)),
)
def test_ranks_move_with_the_individuals(scores, last, perm):
    """Where no two are equal, since equals stay in their order."""
    scores = np.float32([x + 0.5 for x in scores] + [last])
    np.testing.assert_array_equal(rank(scores[perm]), np.asarray(rank(scores))[perm])


def test_rank_counts_places_from_the_best():
    fitness = np.float32([np.nan, 2.0, -np.inf, 5.0, 2.0, -1e30])
    assert rank(fitness).tolist() == [5, 1, 4, 0, 2, 3]
    assert order(fitness).tolist() == [3, 1, 4, 5, 2, 0]


def test_nan_is_never_the_best_unless_all_are():
    best, params = jax.jit(evo.best), {"w": np.arange(3, dtype=np.float32)}
    weights, fitness = best(evo.Population(params, np.float32([np.nan, -np.inf, -9.0])))
    assert (float(weights["w"]), float(fitness)) == (2.0, -9.0)
    assert np.isnan(best(evo.unevaluated(params))[1])


def test_stack_and_individual_are_inverse():
    trees = [{"w": np.full((2, 3), i, "f4"), "n": np.int32(i)} for i in (1, 2)]
    population = jax.jit(evo.stack)(trees)
    assert population.fitness.dtype == jnp.float32
    assert np.all(np.isnan(population.fitness))
    for i, tree in enumerate(trees):
        properties.assert_trees_equal(individual(population, i), tree)


def test_perturb_keeps_the_first_and_spreads_the_others():
    params = {"w": np.full((16, 400), 2.0, jnp.bfloat16), "n": np.int32(7)}
    population = jax.jit(lambda given: evo.perturb(3, given, 40, 0.5))(params)
    properties.assert_trees_equal(individual(population, 0), params)
    moved = np.asarray(population.params["w"], np.float64)[1:] - 2.0
    assert np.std(moved) == pytest.approx(0.5 / 4, rel=0.02)
    assert abs(np.mean(moved)) < 2e-3
    assert population.params["n"].tolist() == [7] * 40
    assert (
        len({bytes(row.tobytes()) for row in np.asarray(population.params["w"])}) == 40
    )


def test_perturb_leaves_out_what_where_leaves_out():
    params = {"a": np.ones(3, np.float32), "b": np.ones(3, np.float32)}
    mask = by_path(lambda path, _: path == "a")
    perturbed = jax.jit(lambda given: evo.perturb(0, given, 4, 1.0, mask=mask).params)
    found = jax.device_get(perturbed(params))
    assert np.all(found["b"] == 1)
    assert not np.any(found["a"][1:] == 1)


def _recording(number):
    """Adds its number to the fitness, and keeps the key that it was given."""

    def update(key, population, state):
        fitness = population.fitness * 10 + number
        return population._replace(fitness=fitness), (state[0] + 1, key)

    return evo.PopulationTransformation(
        lambda population: (0, population.fitness), update
    )


def test_chain_splits_the_key_and_threads_states():
    population = evo.Population(np.zeros(2), np.zeros(2))
    step = evo.chain(_recording(1), _recording(2), evo.chain())
    state = step.init(population)
    assert [one[0] for one in state[:2]] == [0, 0]
    key = jax.random.key(5)
    population, state = step.update(key, population, state)
    assert population.fitness.tolist() == [12.0, 12.0]
    assert [one[0] for one in state[:2]] == [1, 1]
    keys = jax.random.split(key, 3)
    assert [one[1] for one in state[:2]] == [keys[0], keys[1]]
    assert state[2] == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evo.unevaluated({"a": np.ones((2, 1)), "b": np.ones(3)}),
            r"^`params` must have a leading axis of individuals, of one size on every "
            r"leaf, got shapes \(2, 1\), \(3,\)\.$",
        ),
        (lambda: evo.unevaluated({}), r"^`params` must .* got shapes of no leaf\.$"),
        (lambda: evo.unevaluated(np.zeros((0, 2))), r"^`params` must .*\(0, 2\)\.$"),
        (
            lambda: evo.perturb(0, np.ones(2), 0, 1.0),
            r"^`n` must be an integer >= 1, got 0\.$",
        ),
        (
            lambda: evo.perturb(0, np.ones(2), 2, -1.0),
            r"^`scale` must be in \[0, inf\), got -1\.0\.$",
        ),
        (
            lambda: evo.chain(evo.breeder),
            r"^`transformations` must be of type PopulationTransformation, got "
            r".*; did you forget to call it\?$",
        ),
        (
            lambda: evo.stack([np.ones(2), np.ones(3)]),
            r"^`individuals` must have the shapes of `the first`",
        ),
        (
            lambda: evo.stack([np.ones(2, "f4"), np.ones(2, "f2")]),
            r"^`individuals` must have the dtypes of `the first`",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
