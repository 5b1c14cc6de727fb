import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import running
from neat_optax import sparsity
from neat_optax.experiments.candidates.pruning_methods import (
    ALLOCATIONS,
    METHODS,
    SCORES,
    Plan,
    Rules,
)
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task

X = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
SPLIT = Split(X, np.asarray(X[:, :4].argmax(axis=1), np.int32))


@functools.cache
def task():
    return make_task(Data(SPLIT, SPLIT, SPLIT))


STEPS = 40


def plan(**rules):
    return Plan(optax.adam(1e-2), STEPS, jax.random.key(1), Rules(**rules))


@functools.cache
def train(method, amount, **rules):
    """Parameters after the run, and the sparsity after each step, on the network."""
    tx = METHODS[method].make(plan(**rules), amount)

    def step(carry, _):
        params, state = carry
        _, gradients = task().gradients(params, SPLIT)
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), sparsity.sparsity(params)

    @running.quick_jit
    def run():
        params = task().init(nnx.Rngs(0))
        return jax.lax.scan(step, (params, tx.init(params)), length=STEPS)

    (params, _), found = run()
    return params, np.asarray(found)


LAYERS = {
    "trunk": {"first": (16, 64)},
    "last": (64, 32),
}
"""A chain such as the network's, of fewer arrays."""


def drawn(scale, seed):
    random = np.random.default_rng(seed)

    def layer(shape):
        kernel, bias = (random.normal(size=x) * scale for x in (shape, shape[1:]))
        return {"kernel": np.float32(kernel), "bias": np.float32(bias)}

    return jax.tree.map(layer, LAYERS, is_leaf=lambda x: isinstance(x, tuple))


@functools.cache
def descend(method, amount, **rules):
    """As `train` returns it, of a descent to weights of which most are near zero."""
    tx = METHODS[method].make(plan(**rules), amount)
    target = jax.tree.map(lambda x: x**3, drawn(1.0, 1))
    target["last"] = jax.tree.map(lambda x: 8 * x, target["last"])

    def step(carry, _):
        params, state = carry
        gradients = jax.tree.map(lambda p, t: p - t, params, target)
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), sparsity.sparsity(params)

    @jax.jit
    def run(params):
        return jax.lax.scan(step, (params, tx.init(params)), length=STEPS)

    (params, _), found = run(drawn(0.5, 0))
    return jax.tree.map(np.asarray, params), np.asarray(found)


ROOM = {"set": 0.05, "rigl": 0.05}
"""Weights that have just come in are zero, and stay so in units without a gradient."""
SPARSE = [(name, (2, 4) if name == "n:m" else 0.8) for name in METHODS]


@pytest.mark.fast("once-0.8", "ste-0.8")
@pytest.mark.parametrize(("method", "amount"), SPARSE)
def test_every_method_ends_as_sparse_as_asked(method, amount):
    ends_as_sparse_as_asked(method, descend(method, amount)[1], room=1 / 2048)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "amount"), SPARSE)
def test_every_method_learns_and_ends_as_sparse_as_asked(method, amount):
    params, found = train(method, amount)
    ends_as_sparse_as_asked(method, found)
    assert task().scores(params, SPLIT)["accuracy"] > 0.6


def ends_as_sparse_as_asked(method, found, room=1e-4):
    """Within `room` below: the share of one weight where there are few."""
    expected = 0.5 if method == "n:m" else 0.8
    assert expected - room <= found[-1] < expected + ROOM.get(method, 2e-3)
    late = found[plan().ramp + 1 :]
    assert np.ptp(late) < 0.01  # time is left to recover


def test_ramps_and_shots_begin_when_they_should():
    once, linear, cubic = (
        descend(name, 0.8)[1] for name in ("once", "linear", "cubic")
    )
    assert (once[:10] == 0).all()
    np.testing.assert_allclose(once[10:], 0.8, atol=2e-3)
    np.testing.assert_allclose(linear[15], 0.4, atol=2e-3)  # half way to step 30
    np.testing.assert_allclose(cubic[15], 0.7, atol=2e-3)  # 1 - (1 / 2) ** 3
    assert linear[29] < linear[30]


@pytest.mark.parametrize("method", ["set", "rigl", "ste"])
def test_some_are_sparse_from_the_first_step_on(method):
    found = descend(method, 0.8)[1]
    assert (found > 0.8 - 1e-6).all()
    np.testing.assert_allclose(found[:4], 0.8, atol=2e-3)


@pytest.mark.fast("erk")
@pytest.mark.parametrize(
    "allocate", ["erk", "uniform", pytest.param("global", marks=pytest.mark.slow)]
)
def test_allocations_have_the_same_total(allocate):
    params, found = descend("cubic", 0.8, allocate=allocate)
    np.testing.assert_allclose(found[-1], 0.8, atol=2e-3)
    leaves = sparsity.leaf_sparsities(params).values()
    shares = [float(leaf.sparsity) for leaf in leaves]
    assert (np.ptp(shares) < 0.01) == (allocate == "uniform")


@pytest.mark.parametrize("allocate", ALLOCATIONS)
def test_allocations_are_those_that_are_named(allocate):
    division = plan(allocate=allocate).division
    assert (division["scope"], division["allocation"]) == ALLOCATIONS[allocate]


@pytest.mark.parametrize("score", SCORES)
def test_scores_are_those_that_are_named(score):
    assert plan(score=score).score.name == score


@pytest.mark.slow
@pytest.mark.parametrize("score", SCORES)
def test_scores_prune(score):
    np.testing.assert_allclose(train("cubic", 0.8, score=score)[1][-1], 0.8, atol=2e-3)


def test_hidden_units_are_pruned_with_their_biases_and_classes_are_not():
    params, _ = descend("cubic", 0.75, granularity="units", allocate="uniform")
    layer = params["trunk"]["first"]
    alive = (layer["kernel"] != 0).any(axis=0)
    assert int(alive.sum()) == 16
    np.testing.assert_array_equal(layer["bias"] != 0, alive)
    assert (params["last"]["kernel"] != 0).all()


def test_masks_change_about_a_hundred_times():
    for steps in (1, 6, 99, 320, 15620):
        of_run = Plan(optax.adam(0.1), steps, jax.random.key(0), Rules())
        assert of_run.ramp % of_run.every == 0
        assert of_run.every <= max(1, steps / 100)
        assert of_run.ramp <= max(1, 0.75 * steps)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"allocate": "lamp"}, "`allocate` must be one of uniform, erk, global, got"),
        ({"score": "hessian"}, "`score` must be one of magnitude, .* got hessian"),
        ({"granularity": "rows"}, "`granularity` must be one of entries, units, got"),
    ],
)
def test_unknown_rules_are_named(rules, message):
    with pytest.raises(ValueError, match=message):
        Rules(**rules).check()
