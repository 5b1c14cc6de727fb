import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task

X = np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)
SPLIT = Split(X, np.asarray(X[:, :3] > 0, np.int32))
DATA = Data(SPLIT, SPLIT, SPLIT)


def build(name, rate, task, alpha=0.5):
    setting = Setting(alpha, task, 15, jax.random.key(0), {})
    return AGGREGATORS.candidates[name].build(rate, setting)


@pytest.mark.parametrize("name", AGGREGATORS.candidates)
def test_every_candidate_steps_with_a_stable_state(name):
    task = make_task(DATA, "tasks")
    tx = build(name, 1e-3, task)

    def step():
        params = task.init(nnx.Rngs(0))
        extra, gradients = task.gradients(params, SPLIT)
        state = tx.init(params)
        updates, after = tx.update(gradients, state, params, **extra)
        return (params, state), (updates, after)

    before, after = jax.eval_shape(step)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


NAMES = (*AGGREGATORS.default, "control")


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


@pytest.mark.parametrize("name", NAMES)
def test_candidates_measure_conflict_and_what_they_change(name):
    measures = first_steps()[name][0]
    assert (measures["correction_ratio"] > 0) == (name not in ("mean", "control"))
    assert measures["opposed"] == 1
    assert all(np.isfinite(x).all() for x in measures.values())


def test_the_control_of_neat_steps_like_the_mean():
    (_, mean), (_, control) = (first_steps()[name] for name in ("mean", "control"))
    for name, leaf in mean.items():
        np.testing.assert_allclose(control[name], leaf, rtol=1e-3, atol=1e-6)
        assert np.abs(leaf).min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_default_candidates_learn_and_measure(name):
    task = make_task(DATA, "tasks")

    @jax.jit
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

    @jax.jit
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
