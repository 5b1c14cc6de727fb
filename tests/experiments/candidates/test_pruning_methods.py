import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from neat_optax import sparsity
from neat_optax.experiments.candidates.pruning_methods import METHODS
from neat_optax.experiments.candidates.pruning_plan import (
    ALLOCATIONS,
    SCORES,
    Plan,
    Rules,
)
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task

X = np.asarray(jax.random.normal(jax.random.key(0), (64, 8)))
SPLIT = Split(X, np.asarray(X[:, :4].argmax(axis=1), np.int32))
TASK = make_task(Data(SPLIT, SPLIT, SPLIT))
STEPS = 40


def plan(**rules):
    return Plan(optax.adam(1e-2), STEPS, jax.random.key(1), Rules(**rules))


def train(method, amount, **rules):
    """Parameters after the run, and the sparsity after each step."""
    tx = METHODS[method].make(plan(**rules), amount)
    params = TASK.init(nnx.Rngs(0))

    def step(carry, _):
        params, state = carry
        _, gradients = TASK.gradients(params, SPLIT)
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), sparsity.sparsity(params)

    run = jax.jit(lambda start: jax.lax.scan(step, start, length=STEPS))
    (params, _), found = run((params, tx.init(params)))
    return params, np.asarray(found)


ROOM = {"set": 0.05, "rigl": 0.05}
"""Weights that have just come in are zero, and stay so in units without a gradient."""
SPARSE = [(name, (2, 4) if name == "n:m" else 0.8) for name in METHODS]


@pytest.mark.parametrize(("method", "amount"), SPARSE)
def test_every_method_ends_as_sparse_as_asked(method, amount):
    params, found = train(method, amount)
    expected = 0.5 if method == "n:m" else 0.8
    assert expected - 1e-4 <= found[-1] < expected + ROOM.get(method, 2e-3)
    assert TASK.scores(params, SPLIT)["accuracy"] > 0.6
    late = found[plan().ramp + 1 :]
    assert np.ptp(late) < 0.01  # time is left to recover


def test_ramps_and_shots_begin_when_they_should():
    once, linear, cubic = (train(name, 0.8)[1] for name in ("once", "linear", "cubic"))
    assert (once[:10] == 0).all()
    np.testing.assert_allclose(once[10:], 0.8, atol=2e-3)
    np.testing.assert_allclose(linear[15], 0.4, atol=2e-3)  # half way to step 30
    np.testing.assert_allclose(cubic[15], 0.7, atol=2e-3)  # 1 - (1 / 2) ** 3
    assert linear[29] < linear[30]


@pytest.mark.parametrize("method", ["set", "rigl", "ste"])
def test_some_are_sparse_from_the_first_step_on(method):
    found = train(method, 0.8)[1]
    assert (found > 0.8 - 1e-6).all()
    np.testing.assert_allclose(found[:4], 0.8, atol=2e-3)


@pytest.mark.parametrize("allocate", ALLOCATIONS)
def test_allocations_have_the_same_total(allocate):
    params, found = train("cubic", 0.8, allocate=allocate)
    np.testing.assert_allclose(found[-1], 0.8, atol=2e-3)
    leaves = sparsity.leaf_sparsities(params).values()
    shares = [float(leaf.sparsity) for leaf in leaves]
    assert (np.ptp(shares) < 0.01) == (allocate == "uniform")


@pytest.mark.parametrize("score", SCORES)
def test_scores_prune(score):
    np.testing.assert_allclose(train("cubic", 0.8, score=score)[1][-1], 0.8, atol=2e-3)


def test_hidden_units_are_pruned_with_their_biases_and_classes_are_not():
    params, _ = train("cubic", 0.75, granularity="units", allocate="uniform")
    for layer, kept in (
        (params["trunk"]["first"], 32),
        (params["trunk"]["second"], 16),
    ):
        alive = jnp.any(layer["kernel"] != 0, axis=0)
        assert int(alive.sum()) == kept
        np.testing.assert_array_equal(layer["bias"] != 0, alive)
    assert (params["last"]["kernel"] != 0).all()
