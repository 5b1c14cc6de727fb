"""The breeder: elites, size, schedules, and one generation against the oracle."""

import functools
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import properties
import running
from neat_optax import evolution as evo
from neat_optax.evolution import _draws
from oracle import evolution as oracle

KEY = jax.random.key(2)
FILE = pathlib.Path(__file__).parents[1] / "data" / "keras_genetic.json"
GOLDEN = {case["name"]: case for case in json.loads(FILE.read_text())}


def population(scores):
    n = len(scores)
    params = {
        "kernel": np.random.default_rng(9).normal(size=(n, 3, 2)).astype(np.float32),
        "half": np.random.default_rng(8).normal(size=(n, 4)).astype(jnp.bfloat16),
        "count": np.arange(n, dtype=np.int32),
    }
    return evo.Population(params, np.float32(scores))


def bred_by(step, given, key=KEY):
    return jax.device_get(first_of(step)(key, given))


@functools.cache
def first_of(step):
    return running.quick_jit(
        lambda key, given: step.update(key, given, step.init(given))
    )


@functools.cache
def update_of(step):
    return running.quick_jit(step.update)


SCORE = st.one_of(st.floats(-9, 9, width=32), st.sampled_from([np.nan, -np.inf]))


BREEDERS = {
    (elites, again): evo.breeder(
        evo.tournament(2),
        mutation=evo.gaussian(1.0, 1.0),
        num_elites=elites,
        reevaluate=again,
    )
    for elites, again in [(0, False), (1, True), (2, False)]
}


@given(
    st.lists(SCORE, min_size=6, max_size=6),
    st.sampled_from(list(BREEDERS)),
    st.integers(0, 2**31),
)
def test_elites_come_first_bit_for_bit_and_the_size_stays(scores, options, seed):
    (elites, again), given = options, population(scores)
    bred, state = bred_by(BREEDERS[options], given, jax.random.key(seed))
    properties.assert_same_types(bred, given)
    kept = [i for i in oracle.order(scores) if scores[i] > -math.inf][:elites]
    for name, rows in bred.params.items():
        np.testing.assert_array_equal(rows[: len(kept)], given.params[name][kept])
    known = [] if again else [np.float32(scores[i]) for i in kept]
    np.testing.assert_array_equal(bred.fitness[: len(known)], known)
    assert np.all(np.isnan(bred.fitness[len(known) :]))
    assert int(state.failed) == sum(map(math.isnan, scores))
    assert int(state.generation) == 1


@pytest.mark.slow
def test_the_best_so_far_never_falls():
    """Elites are kept, so that the best fitness is monotone without noise."""
    mutation = evo.gaussian(0.3, 1.0)
    step = evo.breeder(evo.truncation(3), mutation=mutation, num_elites=1)
    genes = np.float32(2 + np.random.default_rng(0).normal(size=(12, 6)) / 6**0.5)
    given = evo.Population(genes, np.full(12, np.nan, np.float32))

    def body(carry, key):
        given, state = carry
        fitness = -jnp.sum(given.params**2, axis=1)
        bred, state = step.update(key, given._replace(fitness=fitness), state)
        return (bred, state), jnp.max(fitness)

    @jax.jit
    def play(given):
        start = given, step.init(given)
        return jax.lax.scan(body, start, jax.random.split(KEY, 60))[1]

    best = np.asarray(play(given))
    assert np.all(np.diff(best) >= 0)
    assert best[-1] > 0.5 * best[0]


ORDERLY = evo.breeder(evo.truncation(6), evo.clone, evo.unchanged, num_elites=2)


def test_all_rejected_breeds_from_the_rejected():
    scores = [np.nan, -np.inf, -np.inf, np.nan, np.nan, np.nan]
    bred, _ = bred_by(ORDERLY, population(scores))
    assert set(bred.params["count"].tolist()) <= {1, 2}
    assert np.all(np.isnan(bred.fitness))


def test_a_failed_individual_has_no_children():
    given = population([np.nan, 1.0, np.nan, 2.0, -np.inf, 0.5])
    for seed in range(20):
        bred, _ = bred_by(ORDERLY, given, jax.random.key(seed))
        assert set(bred.params["count"].tolist()) <= {1, 3, 5}


SLOW = pytest.mark.slow


@pytest.mark.fast("3-1.0")
@pytest.mark.parametrize(
    ("num_parents", "rate"),
    [
        (2, 0.25),
        (3, 1.0),
        pytest.param(3, 0.25, marks=SLOW),
        pytest.param(2, 1.0, marks=SLOW),
    ],
)
def test_one_generation_is_that_of_the_oracle(num_parents, rate):
    """Given the same parents and the same random words."""
    scores = [1.0, np.nan, 3.0, 2.0, -np.inf, 5.0]
    genes = np.random.default_rng(2).normal(size=(6, 40)).astype(np.float32)
    given = evo.Population(genes, np.float32(scores))
    selection = evo.truncation(4)
    mutation = evo.gaussian(0.5, rate, unit=evo.absolute)
    step = evo.breeder(selection, evo.uniform(num_parents), mutation, num_elites=2)
    bred, _ = bred_by(step, given)

    @running.quick_jit
    def drawn(given):
        select_key, vary_key = jax.random.split(KEY)
        parents = selection(select_key, given.fitness, (6, num_parents))
        word_key = jax.random.split(vary_key, (2, 3))[1, 0]
        return parents, _draws.words(word_key, given.params)

    parents, words = drawn(given)
    expected, fitness = oracle.generation(
        np.asarray(given.params, float).tolist(),
        scores,
        parents.tolist(),
        words.tolist(),
        oracle.gaussian(0.5, rate),
        num_elites=2,
    )
    np.testing.assert_allclose(bred.params, expected, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(bred.fitness, fitness)


def test_schedules_follow_the_generation():
    late = optax.join_schedules([lambda _: 0.0, lambda _: 1.0], [2])
    step = evo.breeder(
        evo.truncation(1), evo.clone, evo.gaussian(late, 1.0), num_elites=0
    )
    given = evo.Population(np.ones((3, 5), np.float32), np.float32([0, 1, 2]))
    state, changed = step.init(given), []
    for _ in range(4):
        bred, state = update_of(step)(KEY, given, state)
        changed.append(bool(np.any(np.asarray(bred.params) != 1)))
    assert changed == [False, False, True, True]


def test_the_mutation_breeder_has_the_formula_of_the_original():
    case = GOLDEN["mutation_breeder_formula"]
    inputs = case["inputs"]
    weights = np.float32(inputs["weights"])
    noise = lambda key, shape, dtype: jnp.full(shape, inputs["noise"], dtype)  # noqa: ARG005, E731
    step = evo.mutation_breeder(1, inputs["learning_rate"], init=noise)
    given = evo.Population(np.stack([weights] * 2), np.float32([0, 1]))
    bred, _ = bred_by(step, given)
    np.testing.assert_array_equal(bred.params[0], weights)
    np.testing.assert_allclose(bred.params[1], case["expected"]["weights"], rtol=2e-5)


def test_ranks_are_those_of_the_recorded_search():
    """One parent is kept from one generation to the next: it is the elite."""
    case = GOLDEN["search_flow_early_stop_duplicates"]
    scripts = case["inputs"]["scripted_weights"]
    kept: list[float] = []

    @jax.jit
    def ranks(scores):
        return scores[evo.order(scores)], evo.best(evo.Population(scores, scores))

    for script, ranked in zip(
        scripts, case["expected"]["ranked_fitness_per_generation"], strict=False
    ):
        found, (params, fitness) = ranks(np.float32(script + kept))
        assert found.tolist() == ranked
        kept = [float(params)]
        assert float(fitness) == ranked[0]


def test_kept_parents_are_part_of_the_population_here():
    """The original has them on top, so that its population grows (K1)."""
    case = GOLDEN["population_keeps_parents"]
    n, parents = case["inputs"]["population_size"], case["inputs"]["parents"]
    assert case["expected"]["individuals"] == n + parents
    given = evo.Population(np.ones((n, 4), np.float32), np.arange(n, dtype=np.float32))
    bred, _ = bred_by(evo.mutation_breeder(parents), given)
    assert bred.params.shape == (n, 4)
    assert np.sum(~np.isnan(bred.fitness)) == parents


@pytest.mark.fast("preset0-1")
@pytest.mark.parametrize(
    ("preset", "per_child"),
    [
        (evo.random_weight_breeder(3), 1),
        (evo.two_parent_breeder(3), 2),
        (evo.n_parent_breeder(3, 3), 3),
        pytest.param(evo.n_parent_breeder(3, 1), 1, marks=SLOW),
    ],
)
def test_presets_reinitialize_a_tenth_with_a_deviation_of_ten(preset, per_child):
    genes = np.tile(1e3 * np.arange(1, 6, dtype=np.float32)[:, None], 40_000)
    given = evo.Population(genes, np.arange(5, dtype=np.float32))
    bred, _ = bred_by(preset, given)
    np.testing.assert_array_equal(bred.params[:3], genes[[4, 3, 2]])
    for child in bred.params[3:]:
        inherited = np.isin(child, genes[2:, 0])
        assert np.mean(~inherited) == pytest.approx(0.1, abs=0.01)
        assert np.std(child[~inherited]) == pytest.approx(10, rel=0.05)
        assert len(np.unique(child[inherited])) == per_child


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evo.breeder(evo.truncation),
            r"^`selection` must be of type Selection, .*; did you forget to call it\?$",
        ),
        (
            lambda: evo.breeder(crossover=evo.unchanged),
            r"^`crossover` must be of type Crossover, got <mutation unchanged>\.$",
        ),
        (
            lambda: evo.breeder(mutation=evo.clone),
            r"^`mutation` must be of type Mutation, got <crossover clone>\.$",
        ),
        (
            lambda: evo.breeder(num_elites=-1),
            r"^`num_elites` must be an integer >= 0, got -1\.$",
        ),
        (
            lambda: evo.breeder(reevaluate=1),
            r"^`reevaluate` must be True or False, got 1\.$",
        ),
        (
            lambda: evo.breeder().init(population([1.0, 2.0])),
            r"^`num_elites` must be less than the number of individuals, 2, got 2\.$",
        ),
        (
            lambda: evo.breeder().init(evo.Population(np.ones((3, 2)), np.ones(2))),
            r"^`fitness` must have one entry for each of the 3 individuals, got shape "
            r"\(2,\)\.$",
        ),
        (
            lambda: evo.n_parent_breeder(3, 1.5),
            r"^`parents_per_child` must be an integer, got 1\.5\.$",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
