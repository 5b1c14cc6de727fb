import jax
import numpy as np
import optax
import pytest
from flax import nnx

import running
from neat_optax.experiments.candidates import continual
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.candidates.changed_tasks import MOMENTS, of_network
from neat_optax.experiments.candidates.continual_parts import FLAX_RANGE
from neat_optax.experiments.data import streams
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task

SPLIT = Split(np.array([[0.0, 1.0], [2.0, 1.0]], np.float32), np.array([0, 1]))
TASK = make_task(Data(SPLIT, SPLIT, SPLIT))
STEPS = 40


def setting(task=TASK, **given):
    return Setting(0.25, task, STEPS, jax.random.key(0), {}, **given)


def started(name, steps):
    """Weights before and after, and measures, of steps of two tasks."""
    candidate = streams.OPTIMIZERS.candidates[name]
    task = TASK if candidate.adapt is None else candidate.adapt(TASK)
    optimizer = candidate.build(0.1, setting(task, task_steps=STEPS // 2))
    before = task.init(nnx.Rngs(0))

    def step(carry, _):
        params, state = carry
        extra, gradients = task.gradients(params, SPLIT)
        updates, state = optimizer.update(gradients, state, params, **extra)
        return (optax.apply_updates(params, updates), state), None

    carry = before, optimizer.init(before)
    (after, state), _ = jax.lax.scan(step, carry, length=steps)
    scores = task.scores(after, SPLIT)
    return before, after, {**streams.OPTIMIZERS.measures(state), **scores}


@pytest.mark.fast("upgd", "normalize-inputs")
@pytest.mark.parametrize("name", continual.CANDIDATES)
def test_every_candidate_takes_what_the_network_gives(name):
    before, after, measures = jax.eval_shape(lambda: started(name, 1))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), before) == jax.tree.map(
        lambda x: (x.shape, x.dtype), after
    )
    assert "opposed" in measures


@pytest.mark.slow
@pytest.mark.parametrize("name", continual.CANDIDATES)
def test_every_candidate_learns_two_tasks(name):
    before, after, measures = running.quick_jit(lambda: started(name, STEPS))()
    weights = map(of_network, (before, after))
    moved = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), *weights)
    assert 0 < max(jax.tree.leaves(moved)) < 10
    assert np.isfinite(measures["accuracy"])


@pytest.mark.slow
def test_moments_are_those_of_all_that_came_in():
    _, after, _ = running.quick_jit(lambda: started("normalize-inputs", 3))()
    weight, mean, variance = after[MOMENTS]
    assert weight == 6
    np.testing.assert_allclose(mean, [1, 1], rtol=1e-6)
    np.testing.assert_allclose(variance, [1, 0], atol=1e-6)


def test_parts_stand_at_their_places():
    """A penalty before the scaling, a bound on new weights behind the learning rate."""
    parts = continual.parse("l2-to-init+weight-clipping")
    tx = continual.assemble(parts, optax.scale_by_sign, 1.0, setting())
    weights = {
        "kernel": np.full((4, 1), 2.0, np.float32),
        "bias": np.zeros(1, np.float32),
    }

    @running.quick_jit
    def step():
        still = jax.tree.map(np.zeros_like, weights)
        moved = jax.tree.map(lambda w: w + 1, weights)
        updates, _ = tx.update(still, tx.init(weights), moved)
        return optax.apply_updates(moved, updates)

    new = step()
    bound = FLAX_RANGE / 2
    np.testing.assert_allclose(new["kernel"], bound)  # from 3 by 1 to 2, then clipped
    np.testing.assert_allclose(new["bias"], 0)


def test_what_begins_with_a_task_needs_a_stream():
    with pytest.raises(ValueError, match="`stream` must be given"):
        continual.CANDIDATES["fire"].build(0.1, setting())
