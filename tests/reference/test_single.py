"""The oracle of a single gradient against the original's recordings."""

import numpy as np
import pytest

import goldens
import neat_optax as neo
from neat_optax import reference

CASES = goldens.load("neat_step")


def start(case):
    """Parameter and state that a recorded case starts from."""
    inputs = case["inputs"]
    param = goldens.array(inputs["param"], inputs["shape"])
    recorded = inputs["initial_state"]
    if isinstance(recorded, str):
        return param, reference.zeros_like(param)
    fields = {
        name: goldens.array(value, inputs["shape"])
        if isinstance(value, list)
        else value
        for name, value in recorded.items()
    }
    return param, reference.State(**fields)


def assert_agrees(step, expected):
    """Parameter, state and metrics of one step as recorded."""
    assert goldens.close(step.param, goldens.array(expected["param"], step.param.shape))
    for name, value in expected["state"].items():
        actual = getattr(step.state, name)
        if value is not None and actual is not None:
            shape = np.shape(actual)
            assert goldens.close(actual, goldens.array(value).reshape(shape)), name
    for name, value in expected["metrics"].items():
        assert goldens.close(step.metrics[name], goldens.array(value)), name


def replay(case):
    config = neo.compat.NEATConfig(**case["config"])
    param, state = start(case)
    for gradient, expected in zip(
        case["inputs"]["grads"], case["expected"]["steps"], strict=True
    ):
        gradient = goldens.array(gradient, param.shape)
        step = reference.neat_step(param, gradient, state, config)
        assert_agrees(step, expected)
        param, state = step.param, step.state


@pytest.mark.parametrize("name", [n for n in CASES if n not in goldens.DIFFERENCES])
def test_agrees_with_the_original(name):
    replay(CASES[name])


@pytest.mark.parametrize("name", goldens.DIFFERENCES)
def test_every_listed_difference_is_one(name):
    with pytest.raises(AssertionError):
        replay(CASES[name])


def test_the_callers_state_is_not_changed():
    param = np.ones(2)
    state = reference.zeros_like(param)
    reference.neat_step(param, np.ones(2), state, neo.compat.NEATConfig())
    assert state.step == 0
    np.testing.assert_array_equal(state.momentum, np.zeros(2))


def test_slow_param_of_none_is_the_parameter_that_enters():
    config = neo.compat.NEATConfig(
        learning_rate=1.0, beta=0.0, lookahead_k=1, lookahead_alpha=0.5
    )
    step = reference.neat_step(2.0, 1.0, reference.State(), config)
    assert step.param == 1.5


def test_opposed_pair_by_hand():
    """g = [1, 0], m = [-1, 0], alpha .5: conflict 1, correction [-.5, 0]."""
    config = neo.compat.NEATConfig(alpha=0.5, beta=0.0, learning_rate=0.1)
    state = reference.State(momentum=np.array([-1.0, 0.0]))
    step = reference.neat_step([1.0, 2.0], [1.0, 0.0], state, config)
    np.testing.assert_allclose(step.state.nce, [-0.5, 0.0])
    np.testing.assert_allclose(step.param, [0.95, 2.0])
    assert step.metrics["conflict_ratio"] == 1.0
    assert step.metrics["correction_ratio"] == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_leaves_the_histories(bad):
    """The average of the conflict sees a zero: .9 * .25."""
    state = reference.State(momentum=np.array([-1.0, 0.0]), conflict_ema=0.25)
    step = reference.neat_step([1.0, 2.0], [bad, 0.0], state, neo.compat.NEATConfig())
    np.testing.assert_array_equal(step.param, [1.0, 2.0])
    np.testing.assert_array_equal(step.state.momentum, [-1.0, 0.0])
    assert step.state.step == 1
    np.testing.assert_allclose(step.state.conflict_ema, 0.225)


def test_a_gradient_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"`grad` must have the shape of `param`, got"):
        reference.neat_step(
            [1.0, 2.0], [1.0], reference.State(), neo.compat.NEATConfig()
        )
