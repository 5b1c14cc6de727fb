import functools

import jax
import numpy as np
import optax
import pytest

import running
from neat_optax import diagnostics
from neat_optax.experiments.candidates import plasticities
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task

CANDIDATES = {
    name: candidate
    for name, candidate in OPTIMIZERS.candidates.items()
    if name not in plasticities.CANDIDATES
}
SPLIT = Split(np.ones((2, 2), np.float32), np.array([0, 1]))


@functools.cache
def task():
    return make_task(Data(SPLIT, SPLIT, SPLIT))


CORRECTED = ("neat", "random-sign", "adaptive", "adaptive-alpha", "lion")
GRADIENTS = np.float32([[1, 0.5], [1, 0.5], [-1, -0.5], [-1, -0.5]] * 2 + [[1, 0.5]])
PARAMS = np.float32([1.0, -2.0])
RATES = {name: 0.1 for name in CANDIDATES} | {"control": 0.2, "sgd": 0.2 * 0.1}


def played(name, rate):
    """Parameters and state after gradients that change sign now and then."""
    setting = Setting(0.5, task(), len(GRADIENTS), jax.random.key(0), {})
    optimizer = CANDIDATES[name].build(rate, setting)

    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = jax.numpy.asarray(PARAMS), optimizer.init(PARAMS)
    return jax.lax.scan(step, start, GRADIENTS)[0]


@functools.cache
def result(name):
    """What is played at a rate that is traced, as where replicas are mapped."""
    run = running.quick_jit(lambda rate: played(name, rate))
    return jax.tree.map(np.asarray, run(RATES[name]))


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.slow
def test_every_candidate_measures_conflict(name):
    params, state = result(name)
    measured = diagnostics(state)
    assert (params != PARAMS).all()
    assert measured["opposed"].mean > 0
    corrected = measured["correction_ratio"].mean
    assert (corrected > 0) == (name in CORRECTED)


@pytest.mark.slow
def test_random_signs_correct_as_much_in_another_direction():
    drawn, neat = (diagnostics(result(x)[1]) for x in ("random-sign", "neat"))
    ratios = drawn["correction_ratio"].mean, neat["correction_ratio"].mean
    assert min(map(float, ratios)) > 0
    assert (result("random-sign")[0] != result("neat")[0]).any()


@pytest.mark.slow
def test_control_steps_like_heavy_ball_at_the_matched_rate():
    np.testing.assert_allclose(result("control")[0], result("sgd")[0], rtol=1e-5)


def test_the_named_measures_are_read():
    measured = jax.eval_shape(lambda: OPTIMIZERS.measures(played("neat", 0.1)[1]))
    assert set(measured) == {
        "conflict",
        "opposed",
        "correction_ratio",
        "update_alignment",
    }


def test_grids_match():
    """Heavy ball steps like the control at a tenth of its rate."""
    grids = (OPTIMIZERS.rates(name, {}) for name in ("neat", "control", "sgd"))
    neat, control, sgd = grids
    assert neat == control
    np.testing.assert_allclose(sgd, np.divide(neat, 10))
