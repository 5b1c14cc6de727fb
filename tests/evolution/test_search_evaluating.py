"""How individuals are scored."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running
from neat_optax import evolution as evo
from neat_optax.evolution import _evaluating, _loading
from search_runs import NEARBY

KEY = jax.random.key(0)
PARAMS = {"w": np.ones(3, np.float32)}
STACKED = {"w": np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)}


def fitness(params, *others):
    return -jnp.sum((params["w"] - 2) ** 2) + sum(jnp.sum(x) for x in others)


def run(evaluate=fitness, **options):
    """Of given weights: around others they would be drawn first."""
    options = {"generations": 4, "population_size": STACKED, **options}
    return evo.search(0, PARAMS, evaluate, NEARBY, **options)


def scores_of(evaluate, stacked=STACKED, args=()):
    """What a generation is scored with in JAX."""
    evaluator = _evaluating.as_evaluator(evaluate)
    score = functools.partial(_evaluating.scores_of, evaluator, _loading.TREE)
    return np.asarray(jax.jit(score)(stacked, KEY, (), args))


def test_batches_change_nothing():
    whole = scores_of(fitness)
    for batch_size in (1, 4, 10, 64):
        batched = scores_of(evo.of_individual(fitness, batch_size=batch_size))
        np.testing.assert_allclose(batched, whole, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 4, 10, 64])
@running.quickly()
def test_batches_change_nothing_in_a_search(batch_size):
    whole, batched = run(), run(evo.of_individual(fitness, batch_size=batch_size))
    np.testing.assert_allclose(
        batched.history["best"], whole.history["best"], rtol=1e-6
    )


def test_a_population_at_once_and_python_give_the_same():
    at_once = run(evo.of_population(lambda p: -jnp.sum((p["w"] - 2) ** 2, axis=1)))
    python = run(evo.outside_jax(lambda p: -float(np.sum((p["w"] - 2) ** 2))))
    whole = run().history
    for other in (at_once, python):
        for name, values in whole.items():
            np.testing.assert_allclose(other.history[name], values, rtol=1e-5)


def test_arguments_reach_every_kind():
    data = {"x": np.arange(3, dtype=np.float32)}
    expected = scores_of(fitness) + 3
    at_once = evo.of_population(
        lambda p, d: -jnp.sum((p["w"] - 2) ** 2, axis=1) + jnp.sum(d["x"])
    )
    for evaluate in (lambda p, d: fitness(p, d["x"]), at_once):
        found = scores_of(evaluate, args=(data,))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    python = evo.outside_jax(lambda p, d: -np.sum((p["w"] - 2) ** 2) + np.sum(d["x"]))
    found = run(python, args=(data,), generations=1)
    np.testing.assert_allclose(found.best_fitness, expected.max(), rtol=1e-5)


def draw(params, key):
    return jax.random.uniform(key) + 0 * params["w"][0]


def draw_all(params, key):
    keys = key if key.ndim else jnp.broadcast_to(key, 10)
    return jax.vmap(draw)(params, keys)


KINDS = {
    "one": evo.of_individual,
    "one batched": functools.partial(evo.of_individual, batch_size=3),
    "population": lambda _, **mode: evo.of_population(draw_all, **mode),
}


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_shared_or_own(kind):
    for mode, different in (("shared", 1), ("own", 10)):
        evaluator = KINDS[kind](draw, evaluation_key=mode)
        assert len(set(scores_of(evaluator).tolist())) == different


@pytest.mark.parametrize("build", [evo.of_individual, evo.outside_jax])
def test_keys_are_new_in_each_generation(build):
    row = run(build(draw, evaluation_key="shared"), generations=2).history
    # The elites, scored before, are the only ones that differ.
    assert row["std"][0] < 1e-6
    assert len(set(row["best"])) == 2 or row["std"][1] > 0.01


def test_each_has_a_key_of_its_own_outside():
    row = run(evo.outside_jax(draw, evaluation_key="own"), generations=1).history
    assert row["std"][0] > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluation_key": "mine"}, "`evaluation_key` must be one of shared, own"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        evo.of_individual(fitness, **options)


def test_other_dtypes_of_fitness():
    start = evo.search_steps(NEARBY).init(0, STACKED)
    for evaluate in (
        lambda p: fitness(p).astype(jnp.bfloat16),
        lambda p: jnp.sum(p["w"] > 1),
    ):
        state, _ = jax.eval_shape(evo.search_steps(NEARBY, evaluate).step, start)
        assert state.population.fitness.dtype == jnp.float32
    found = run(lambda p: p["w"][0] > 0)
    assert found.state.population.fitness.dtype == jnp.float32
    assert found.best_fitness == 1


@pytest.mark.parametrize("wrong", [lambda s: {"a": s}, lambda s: (s, s)])
def test_what_is_no_number_is_named(wrong):
    kind = type(wrong(0)).__name__
    with pytest.raises(ValueError, match=f"`evaluate` must .* got a {kind}"):
        run(lambda params: wrong(params["w"].sum()))
    with pytest.raises(ValueError, match="`args` must be of type tuple"):
        run(args=jnp.ones(3))


@pytest.mark.parametrize("plain", [float, np.asarray])
def test_plain_python_is_sent_outside(plain):
    with pytest.raises(TypeError) as error:
        run(lambda params: plain(params["w"].sum()))
    assert "outside_jax" in error.value.__notes__[0]
