"""The best so far: never worse, never a failure, each of them once."""

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import evolution as evo
from search_runs import fitness, run, scripted


def test_best_so_far_never_falls_without_elites():
    breeder = evo.breeder(
        evo.truncation(4), num_elites=0, mutation=evo.gaussian(2.0, 1.0)
    )
    history = run(breeder=breeder, generations=30).history
    assert (np.diff(history["best"]) < 0).any()
    np.testing.assert_array_equal(
        history["best_so_far"], np.maximum.accumulate(history["best"])
    )


def test_nan_is_never_the_best_and_is_counted():
    def sometimes(params, key):
        failed = jax.random.bernoulli(key, 0.5)
        return jnp.where(failed, jnp.nan, fitness(params))

    found = run(sometimes, evaluation_key="own", generations=20, return_best=4)
    failed = found.history["failed"]
    assert 0.3 < failed.sum() / found.history["evaluations"][-1] < 0.7
    assert np.isfinite(found.top().fitness).all()
    for name in ("best_so_far", "mean", "std"):
        assert np.isfinite(found.history[name][1:]).all()


def test_all_failing_leaves_no_best():
    found = run(lambda params: jnp.nan * jnp.sum(params["w"]), generations=3)
    assert np.isnan(found.best_fitness)
    assert (found.history["failed"] == 8).all()
    assert found.top().fitness.shape == (0,)


def test_a_kept_parent_is_listed_once():
    """The original lists it as often as it meets it: [3, 3, 2]."""
    first = evo.unevaluated(jnp.array([1.0, 3.0, 2.0]))
    found = evo.search(
        0,
        jnp.float32(0),
        lambda w: w,
        scripted([[0.0, 1.0]] * 2, 1),
        generations=2,
        initial_population=first,
        return_best=3,
    )
    assert found.top().fitness.tolist() == [3.0, 2.0, 1.0]
