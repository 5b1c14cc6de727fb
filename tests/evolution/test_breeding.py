"""The breeder: elites, size, schedules, and one generation against the oracle."""

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
from neat_optax import evolution as evo
from neat_optax.evolution import _draws
from oracle import evolution as oracle

KEY = jax.random.key(2)
FILE = pathlib.Path(__file__).parents[1] / "data" / "keras_genetic.json"
GOLDEN = {case["name"]: case for case in json.loads(FILE.read_text())}


def population(scores):
    n = len(scores)
    params = {
        "kernel": jax.random.normal(jax.random.key(9), (n, 3, 2)),
        "half": jax.random.normal(jax.random.key(8), (n, 4), jnp.bfloat16),
        "count": jnp.arange(n),
    }
    return evo.Population(params, jnp.float32(scores))


def bred_by(step, given, key=KEY):
    return step.update(key, given, step.init(given))


SCORE = st.one_of(st.floats(-9, 9, width=32), st.sampled_from([np.nan, -np.inf]))


@given(
    st.lists(SCORE, min_size=3, max_size=9),
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_elites_come_first_bit_for_bit_and_the_size_stays(scores, elites, again, seed):
    given = population(scores)
    step = evo.breeder(
        evo.tournament(2),
        mutation=evo.gaussian(1.0, 1.0),
        num_elites=elites,
        reevaluate=again,
    )
    bred, state = bred_by(step, given, jax.random.key(seed))
    properties.assert_same_types(bred, given)
    kept = [i for i in oracle.order(scores) if scores[i] > -math.inf][:elites]
    for place, number in enumerate(kept):
        properties.assert_trees_equal(
            evo.individual(bred, place), evo.individual(given, number)
        )
    known = [] if again else [np.float32(scores[i]) for i in kept]
    np.testing.assert_array_equal(bred.fitness[: len(known)], known)
    assert np.all(np.isnan(bred.fitness[len(known) :]))
    assert int(state.failed) == sum(map(math.isnan, scores))
    assert int(state.generation) == 1


def test_the_best_so_far_never_falls():
    """Elites are kept, so that the best fitness is monotone without noise."""
    mutation = evo.gaussian(0.3, 1.0)
    step = evo.breeder(evo.truncation(3), mutation=mutation, num_elites=1)
    given = evo.perturb(0, jnp.full(6, 2.0), 12, 1.0)

    def body(carry, key):
        given, state = carry
        fitness = -jnp.sum(given.params**2, axis=1)
        bred, state = step.update(key, given._replace(fitness=fitness), state)
        return (bred, state), jnp.max(fitness)

    start = given, step.init(given)
    best = jax.lax.scan(body, start, jax.random.split(KEY, 60))[1]
    assert np.all(np.diff(best) >= 0)
    assert best[-1] > 0.5 * best[0]


def test_all_rejected_breeds_from_the_rejected():
    scores = [np.nan, -np.inf, -np.inf, np.nan]
    step = evo.breeder(evo.truncation(4), evo.clone, evo.unchanged, num_elites=2)
    bred, _ = bred_by(step, population(scores))
    assert set(np.asarray(bred.params["count"]).tolist()) <= {1, 2}
    assert np.all(np.isnan(bred.fitness))


def test_a_failed_individual_has_no_children():
    scores = [np.nan, 1.0, np.nan, 2.0, -np.inf, 0.5]
    step = evo.breeder(evo.truncation(6), evo.clone, evo.unchanged, num_elites=0)
    for seed in range(20):
        bred, _ = bred_by(step, population(scores), jax.random.key(seed))
        assert set(np.asarray(bred.params["count"]).tolist()) <= {1, 3, 5}


@pytest.mark.parametrize("num_parents", [2, 3])
@pytest.mark.parametrize("rate", [0.25, 1.0])
def test_one_generation_is_that_of_the_oracle(num_parents, rate):
    """Given the same parents and the same random words."""
    scores = [1.0, np.nan, 3.0, 2.0, -np.inf, 5.0]
    given = evo.Population(jax.random.normal(KEY, (6, 40)), jnp.float32(scores))
    selection = evo.truncation(4)
    mutation = evo.gaussian(0.5, rate, unit=evo.absolute)
    step = evo.breeder(selection, evo.uniform(num_parents), mutation, num_elites=2)
    bred, _ = bred_by(step, given)

    select_key, vary_key = jax.random.split(KEY)
    parents = selection(select_key, given.fitness, (6, num_parents))
    word_key = jax.random.split(vary_key, (2, 3))[1, 0]
    words = _draws.words(word_key, given.params)
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
    given = evo.Population(jnp.ones((3, 5)), jnp.arange(3.0))
    state, changed = step.init(given), []
    for _ in range(4):
        bred, state = step.update(KEY, given, state)
        changed.append(bool(jnp.any(bred.params != 1)))
    assert changed == [False, False, True, True]


def test_the_mutation_breeder_has_the_formula_of_the_original():
    case = GOLDEN["mutation_breeder_formula"]
    inputs = case["inputs"]
    weights = jnp.float32(inputs["weights"])
    noise = lambda key, shape, dtype: jnp.full(shape, inputs["noise"], dtype)  # noqa: ARG005, E731
    step = evo.mutation_breeder(1, inputs["learning_rate"], init=noise)
    given = evo.Population(jnp.stack([weights] * 2), jnp.array([0.0, 1.0]))
    bred, _ = bred_by(step, given)
    np.testing.assert_array_equal(bred.params[0], weights)
    np.testing.assert_allclose(bred.params[1], case["expected"]["weights"], rtol=2e-5)


def test_ranks_are_those_of_the_recorded_search():
    """One parent is kept from one generation to the next: it is the elite."""
    case = GOLDEN["search_flow_early_stop_duplicates"]
    scripts = case["inputs"]["scripted_weights"]
    kept: list[float] = []
    for script, ranked in zip(
        scripts, case["expected"]["ranked_fitness_per_generation"], strict=False
    ):
        scores = jnp.float32(script + kept)
        assert scores[evo.order(scores)].tolist() == ranked
        params, fitness = evo.best(evo.Population(scores, scores))
        kept = [float(params)]
        assert float(fitness) == ranked[0]


def test_kept_parents_are_part_of_the_population_here():
    """The original has them on top, so that its population grows (K1)."""
    case = GOLDEN["population_keeps_parents"]
    n, parents = case["inputs"]["population_size"], case["inputs"]["parents"]
    assert case["expected"]["individuals"] == n + parents
    given = evo.Population(jnp.ones((n, 4)), jnp.arange(float(n)))
    bred, _ = bred_by(evo.mutation_breeder(parents), given)
    assert bred.params.shape == (n, 4)
    assert np.sum(~np.isnan(bred.fitness)) == parents


@pytest.mark.parametrize(
    ("preset", "per_child"),
    [
        (evo.random_weight_breeder(3), 1),
        (evo.two_parent_breeder(3), 2),
        (evo.n_parent_breeder(3, 3), 3),
        (evo.n_parent_breeder(3, 1), 1),
    ],
)
def test_presets_draw_a_tenth_afresh_with_a_deviation_of_ten(preset, per_child):
    genes = 1e3 * jnp.arange(1.0, 6.0)[:, None] * jnp.ones((1, 40_000))
    given = evo.Population(genes, jnp.arange(5.0))
    bred, _ = bred_by(preset, given)
    np.testing.assert_array_equal(bred.params[:3], genes[jnp.array([4, 3, 2])])
    for child in np.asarray(bred.params[3:]):
        inherited = np.isin(child, np.asarray(genes[2:, 0]))
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
            lambda: evo.breeder().init(evo.Population(jnp.ones((3, 2)), jnp.ones(2))),
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
