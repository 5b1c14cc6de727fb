"""Models of Flax are searched, and come back as models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from neat_optax import evolution as evo
from search_runs import assert_same

X = jnp.linspace(-1, 1, 6).reshape(3, 2)
BREEDER = evo.breeder(evo.truncation(3))


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.Dense(3)(x)
        return linen.BatchNorm(use_running_average=True)(x)


def module():
    rngs = nnx.Rngs(0)
    norm = nnx.BatchNorm(3, use_running_average=True, rngs=rngs)
    dropout = nnx.Dropout(0.1, rngs=rngs)
    dropout.eval()
    return nnx.Sequential(nnx.Linear(2, 3, rngs=rngs), norm, nnx.relu, dropout)


def variables():
    return Linen().init(jax.random.key(0), X)


def search(model, evaluate, **options):
    return evo.search(
        0,
        model,
        evaluate,
        BREEDER,
        generations=5,
        population_size=8,
        args=(X,),
        return_best=2,
        **options,
    )


def test_nnx():
    model = module()
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    found = search(model, lambda m, x: -jnp.sum((m(x) - 1) ** 2))
    best = found.model()
    assert isinstance(best, nnx.Sequential)
    np.testing.assert_allclose(
        -jnp.sum((best(X) - 1) ** 2), found.best_fitness, rtol=1e-5
    )
    assert found.best_fitness > -jnp.sum((model(X) - 1) ** 2)
    assert_same(evo.weights(model), before)
    assert_same(evo.weights(found.model(1)), evo.individual(found.top(), 1))
    assert sorted(found.best_params["layers"]) == [0, 1]
    assert sorted(found.best_params["layers"][1]) == ["bias", "scale"]


def test_training_mode_inside_the_search_leaves_the_model_alone():
    model = module()
    model.train()
    statistics = nnx.state(model, nnx.BatchStat)
    before = jax.tree.map(np.asarray, statistics)
    search(model, lambda m, x: -jnp.sum(m(x) ** 2))
    assert_same(nnx.state(model, nnx.BatchStat), before)


def test_linen():
    given = variables()
    assert sorted(given) == ["batch_stats", "params"]

    def evaluate(variables, x):
        return -jnp.sum((Linen().apply(variables, x) - 1) ** 2)

    found = search(given, evaluate)
    assert sorted(found.best_params) == ["BatchNorm_0", "Dense_0"]
    np.testing.assert_allclose(
        evaluate(found.model(), X), found.best_fitness, rtol=1e-5
    )
    assert_same(found.model()["batch_stats"], given["batch_stats"])


def test_linen_without_other_collections_is_a_tree():
    given = {"params": variables()["params"]}
    assert evo.weights(given) is given


@pytest.mark.parametrize("model", [module(), variables(), {"w": jnp.ones(2)}])
def test_load_is_the_inverse_of_weights(model):
    moved = jax.tree.map(lambda x: x + 1, evo.weights(model))
    assert_same(evo.weights(evo.load(model, moved)), moved)


def test_a_population_of_modules_at_once():
    @nnx.vmap(in_axes=(0, None))
    def each(layer, x):
        return -jnp.sum(layer(x) ** 2)

    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    one = search(model, lambda m, x: -jnp.sum(m(x) ** 2))
    all_at_once = search(model, evo.of_population(each))
    np.testing.assert_allclose(all_at_once.best_fitness, one.best_fitness, rtol=1e-5)


def test_a_second_search_with_a_model_compiles_nothing():
    traced = []

    def evaluate(m, x):
        traced.append(1)
        return -jnp.sum(m(x) ** 2)

    search(module(), evaluate)
    count = len(traced)
    search(module(), evaluate)
    assert len(traced) == count
