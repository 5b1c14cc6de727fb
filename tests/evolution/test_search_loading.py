"""Models of Flax are searched, and come back as models."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from neat_optax import evolution as evo
from neat_optax.evolution import _asking, _evaluating, _loading
from search_runs import NEARBY, assert_same

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)


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
        NEARBY,
        generations=5,
        population_size=8,
        args=(X,),
        return_best=2,
        **options,
    )


@pytest.mark.slow
def test_nnx():
    traced = []

    def evaluate(m, x):
        traced.append(1)
        return -jnp.sum((m(x) - 1) ** 2)

    model = module()
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    found = search(model, evaluate)
    best = found.model()
    assert isinstance(best, nnx.Sequential)
    scores = jax.jit(lambda x: [-jnp.sum((m(x) - 1) ** 2) for m in (best, model)])
    now, at_first = jax.device_get(scores(X))
    np.testing.assert_allclose(now, found.best_fitness, rtol=1e-5)
    assert found.best_fitness > at_first
    assert_same(evo.weights(model), before)
    assert_same(evo.weights(found.model(1)), evo.individual(found.top(), 1))
    assert sorted(found.best_params["layers"]) == [0, 1]
    assert sorted(found.best_params["layers"][1]) == ["bias", "scale"]
    count = len(traced)
    search(module(), evaluate)
    assert len(traced) == count, "a second search compiles nothing"


def test_training_mode_inside_the_search_leaves_the_model_alone():
    model = module()
    model.train()
    statistics = nnx.state(model, nnx.BatchStat)
    before = jax.tree.map(np.asarray, statistics)
    _, genome, rest = _loading.apart(model)
    evaluator = _evaluating.as_evaluator(lambda m, x: -jnp.sum(m(x) ** 2))
    step = functools.partial(_asking.step, _asking.Run(NEARBY, evaluator, genome))
    around = evo.perturb(0, evo.weights(model), 8, 0.3)
    start = evo.search_steps(NEARBY).init(0, around)
    jax.eval_shape(step, start, rest, (X,))
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


@pytest.mark.parametrize("model", [module, variables, lambda: {"w": jnp.ones(2)}])
def test_load_is_the_inverse_of_weights(model):
    model = model()
    moved = jax.tree.map(lambda x: x + 1, evo.weights(model))
    assert_same(evo.weights(evo.load(model, moved)), moved)


SHAPES = {"kernel": (2, 3), "bias": (3,)}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"a_kernel": np.ones((2, 3), "f4"), "z_bias": np.ones(3, "f4")},
            r"tree structure of `weights\(model\)`, got no array at \['bias'\]\.$",
        ),
        (
            {"kernel": np.ones((3, 2), "f4"), "bias": np.ones(3, "f4")},
            r"shapes of `weights\(model\)`, got \(3, 2\) for \(2, 3\) at \['kernel'\]",
        ),
        (
            {"kernel": np.ones((2, 3), "f2"), "bias": np.ones(3, "f4")},
            r"dtypes of `weights\(model\)`, got float16 for float32 at \['kernel'\]\.$",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["nnx", "linen", "tree"])
def test_weights_of_another_model_are_not_loaded(kind, other, message):
    tree = {name: np.zeros(shape, "f4") for name, shape in SHAPES.items()}
    model = {
        "nnx": nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0))),
        "linen": {"params": tree, "batch_stats": {}},
        "tree": tree,
    }[kind]
    with pytest.raises(ValueError, match=rf"^`params` must have the {message}"):
        evo.load(model, other)


def test_a_population_of_modules_at_once():
    @nnx.vmap(in_axes=(0, None))
    def each(layer, x):
        return -jnp.sum(layer(x) ** 2)

    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    params, genome, rest = _loading.apart(model)
    stacked = evo.perturb(0, params, 8, 0.3).params
    one, all_at_once = (
        jax.jit(functools.partial(_evaluating.scores_of, evaluator, genome))(
            stacked, jax.random.key(0), rest, (X,)
        )
        for evaluator in (
            evo.of_individual(lambda m, x: -jnp.sum(m(x) ** 2)),
            evo.of_population(each),
        )
    )
    np.testing.assert_allclose(all_at_once, one, rtol=1e-5)
