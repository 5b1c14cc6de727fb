import functools
import inspect

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import properties
import running
from neat_optax import aggregators
from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task

X = np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)
SPLIT = Split(X, np.asarray(X[:, :4] > 0, np.int32))
DATA = Data(SPLIT, SPLIT, SPLIT)


def build(name, rate, task, alpha=0.5):
    setting = Setting(alpha, task, 15, jax.random.key(0), {})
    return AGGREGATORS.candidates[name].build(rate, setting)


@functools.cache
def shapes():
    """A task, and the shapes of parameters, extra arguments and players' gradients."""
    task = make_task(DATA, "tasks")

    def first():
        params = task.init(nnx.Rngs(0))
        return params, *task.gradients(params, SPLIT)

    return task, *jax.eval_shape(first)


@pytest.mark.fast("mean", "neat")
@pytest.mark.parametrize("name", AGGREGATORS.candidates)
def test_every_candidate_steps_with_a_stable_state(name):
    task, params, extra, gradients = shapes()
    tx = build(name, 1e-3, task)
    state = jax.eval_shape(tx.init, params)
    step = lambda *a, **extra: tx.update(*a, **extra)  # noqa: E731
    found = jax.eval_shape(step, gradients, state, params, **extra)
    properties.assert_same_types(found, (params, state))


NO_CANDIDATES = {
    "aggregate": "a shell around a weighting",
    "constant": "its weights are the user's; equal ones are the mean",
    "divide_by_losses": "a part of DB-MTL before the reduction",
    "ntk": "its traces are the user's",
    "per_player": "a shell around another transformation",
    "pike": "its exponents have the unit of the user's gradients",
    "pivrg": "its scores are the user's; without them it is FairGrad",
    "track_gradient": "a part of MoCo before the reduction",
}


def test_every_public_aggregator_is_a_candidate():
    factories = {
        name
        for name, value in vars(aggregators).items()
        if inspect.isfunction(value)
        and "Transformation" in str(inspect.signature(value).return_annotation)
    }
    assert NO_CANDIDATES.keys() <= factories
    own = {"neat", "control", "softadapt-normalized", "softadapt-loss-weighted"}
    expected = {name.replace("_", "-") for name in factories - NO_CANDIDATES.keys()}
    assert set(AGGREGATORS.candidates) - own == expected


NAMES = ("mean", "neat", "control", "pcgrad")


@functools.cache
def first_steps():
    """Measures and updates of the candidates that are compared by default."""
    task = make_task(DATA, "examples", 4)
    params = {"a": np.zeros(3, np.float32), "b": np.zeros((2, 2), np.float32)}
    random = np.random.default_rng(0)
    gradients = {
        name: random.normal(size=(4, *leaf.shape)).astype(np.float32)
        for name, leaf in params.items()
    }

    def steps(gradients):
        found = {}
        for name in NAMES:
            tx = build(name, 0.1, task)
            updates, state = tx.update(gradients, tx.init(params), params)
            found[name] = AGGREGATORS.measures(state), updates
        return found

    return jax.tree.map(np.asarray, jax.jit(steps)(gradients))


@pytest.mark.parametrize("name", ["graddrop", "gradvac", "pcgrad", "random"])
@pytest.mark.slow
def test_what_is_random_is_drawn_by_the_key_of_the_seed(name):
    task = make_task(DATA, "examples", 4)
    gradients = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)

    def first(key):
        setting = Setting(0.5, task, 15, key, {})
        tx = AGGREGATORS.candidates[name].build(0.1, setting)
        params = np.zeros(6, np.float32)
        return tx.update(gradients, tx.init(params), params)[1]

    keys = jax.random.split(jax.random.key(0), 8)
    states = running.quick_jit(jax.vmap(lambda key: AGGREGATORS.measures(first(key))))
    turns = np.asarray(states(keys)["correction_ratio"])
    assert len(np.unique(turns)) > 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_candidates_measure_conflict_and_what_they_change(name):
    measures = first_steps()[name][0]
    assert (measures["correction_ratio"] > 0) == (name not in ("mean", "control"))
    assert measures["opposed"] == 1
    assert all(np.isfinite(x).all() for x in measures.values())


@pytest.mark.slow
def test_the_control_of_neat_steps_like_the_mean():
    (_, mean), (_, control) = (first_steps()[name] for name in ("mean", "control"))
    for name, leaf in mean.items():
        np.testing.assert_allclose(control[name], leaf, rtol=1e-3, atol=1e-6)
        assert np.abs(leaf).min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", (*AGGREGATORS.default, "control"))
def test_default_candidates_learn_and_measure(name):
    task = make_task(DATA, "tasks")

    @running.quick_jit
    def steps(rate):
        params = task.init(nnx.Rngs(0))
        tx = build(name, rate, task)

        def step(carry, _):
            params, state = carry
            extra, gradients = task.gradients(params, SPLIT)
            updates, state = tx.update(gradients, state, params, **extra)
            params = optax.apply_updates(params, updates)
            loss = extra["losses"].mean()
            return (params, state), (loss, AGGREGATORS.measures(state))

        return jax.lax.scan(step, (params, tx.init(params)), length=15)[1]

    losses, measures = steps(3e-3)
    assert losses[-1] < 0.9 * losses[0]
    turned = measures["correction_ratio"].mean()
    assert (turned > 0) == (name not in ("mean", "control"))
    assert all(np.isfinite(x).all() for x in measures.values())


@pytest.mark.slow
def test_the_control_of_neat_trains_like_the_mean():
    task = make_task(DATA, "examples", 4)

    @running.quick_jit
    def first():
        params = task.init(nnx.Rngs(0))
        _, gradients = task.gradients(params, SPLIT)
        built = [build(name, 0.1, task) for name in ("mean", "control")]
        return [tx.update(gradients, tx.init(params), params)[0] for tx in built]

    for a, b in zip(*map(jax.tree.leaves, first()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_a_task_without_players_is_refused():
    with pytest.raises(ValueError, match=r"`task` must have players .* got none"):
        build("mean", 0.1, make_task(DATA))
