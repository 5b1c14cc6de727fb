"""How individuals are scored."""

import concurrent.futures
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import evolution as evo

BREEDER = evo.breeder(evo.truncation(4))
PARAMS = {"w": jnp.ones(3)}


def fitness(params, *others):
    return -jnp.sum((params["w"] - 2) ** 2) + sum(jnp.sum(x) for x in others)


def run(evaluate=fitness, **options):
    options = {"generations": 4, "population_size": 10, **options}
    return evo.search(0, PARAMS, evaluate, BREEDER, **options)


@pytest.mark.parametrize("batch_size", [1, 4, 10, 64])
def test_batches_change_nothing(batch_size):
    whole, batched = run(), run(batch_size=batch_size)
    np.testing.assert_allclose(
        batched.history["best"], whole.history["best"], rtol=1e-6
    )


def test_a_population_at_once_and_python_give_the_same():
    at_once = run(evo.of_population(lambda p: -jnp.sum((p["w"] - 2) ** 2, axis=1)))
    python = run(evo.outside_jax(lambda p: -float(np.sum((p["w"] - 2) ** 2))))
    for other in (at_once, python):
        for name, values in run().history.items():
            np.testing.assert_allclose(other.history[name], values, rtol=1e-5)


def test_arguments_reach_every_kind():
    data = {"x": jnp.arange(3.0)}
    expected = run().best_fitness + 3
    at_once = evo.of_population(
        lambda p, d: -jnp.sum((p["w"] - 2) ** 2, axis=1) + jnp.sum(d["x"])
    )
    for evaluate in (
        lambda p, d: fitness(p, d["x"]),
        at_once,
        evo.outside_jax(lambda p, d: fitness(p, d["x"])),
    ):
        found = run(evaluate, args=(data,))
        np.testing.assert_allclose(found.best_fitness, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["one", "one batched", "population", "python"])
def test_keys_are_shared_or_own_and_new_in_each_generation(kind):
    def draw(params, key):
        return jax.random.uniform(key) + 0 * params["w"][0]

    def draw_all(params, key):
        keys = key if key.ndim else jnp.broadcast_to(key, 10)
        return jax.vmap(draw)(params, keys)

    evaluate, options = draw, {}
    if kind == "one batched":
        options = {"batch_size": 3}
    if kind == "population":
        evaluate = evo.of_population(draw_all)
    if kind == "python":
        evaluate = evo.outside_jax(draw)
    population = evo.perturb(0, PARAMS, 10, 1.0)
    rows = {}
    for mode in ("shared", "own"):
        found = run(
            evaluate,
            evaluation_key=mode,
            initial_population=population,
            return_best=10,
            generations=2,
            **options,
        )
        rows[mode] = found.history
    # With a shared key the elites, scored before, are the only ones that differ.
    assert rows["shared"]["std"][0] < 1e-6 < 0.1 < rows["own"]["std"][0]
    assert len(set(rows["shared"]["best"])) == 2 or rows["shared"]["std"][1] > 0.01


def test_python_is_called_only_for_those_without_a_fitness():
    seen = []

    def evaluate(params):
        assert isinstance(params["w"], np.ndarray)
        seen.append(params["w"])
        return float(params["w"].sum())

    found = run(evo.outside_jax(evaluate))
    assert len(seen) == 10 + 3 * 8 == found.history["evaluations"][-1]


def test_an_executor_scores_side_by_side():
    def evaluate(params):
        time.sleep(0.01 * float(params["w"][0] > 1))  # who comes first ends last
        return float(params["w"].sum())

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = run(evo.outside_jax(evaluate, map=pool.map))
    alone = run(evo.outside_jax(evaluate))
    np.testing.assert_array_equal(found.history["mean"], alone.history["mean"])


def test_an_error_names_the_individual():
    calls = []

    def evaluate(params):
        calls.append(1)
        if len(calls) == 13:  # ten, then two elites that are not scored
            raise KeyError("lost")
        return float(params["w"].sum())

    with pytest.raises(
        RuntimeError, match="score individual 4 of generation 1, got Key"
    ):
        run(evo.outside_jax(evaluate))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        calls[:] = [1] * 12
        with pytest.raises(RuntimeError, match=r"score individual . of generation 0"):
            run(evo.outside_jax(evaluate, map=pool.map))


@pytest.mark.parametrize("value", [None, [1.0, 2.0], 1j, "high"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(
        ValueError, match=r"one real number, got .* for individual 0 of gen"
    ):
        run(evo.outside_jax(lambda params: value))  # noqa: ARG005


def test_nan_from_python_is_a_failure():
    found = run(evo.outside_jax(lambda p: np.nan if p["w"][0] > 1 else 1.0))
    assert found.history["failed"][0] > 0
    assert found.best_fitness == 1.0


def test_other_dtypes_of_fitness():
    for evaluate in (
        lambda p: fitness(p).astype(jnp.bfloat16),
        lambda p: jnp.sum(p["w"] > 1),
        lambda p: p["w"][0] > 1,
    ):
        found = run(evaluate)
        assert found.state.population.fitness.dtype == jnp.float32
        assert np.isfinite(found.best_fitness)


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
