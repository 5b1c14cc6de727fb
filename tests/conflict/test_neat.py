"""The recipes against the original's recordings, and against the oracle.

The oracle itself agrees with every recording: see `reference/test_single.py`.
"""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goldens
import neat_optax as neo
import properties
import running
import samplers
from neat_optax import reference
from neat_optax.conflict._contest import ContestState
from neat_optax.transforms._precondition import PreconditionState

STEPS = goldens.load("neat_step")
ADAPTERS = goldens.load("torch_adapter") | goldens.load("keras_adapter")
TORCH_LAYOUT = "torch_centralization_axis_differs"
ONLY_STATE_DIFFERS = (
    "tiny_opponent_norm_1e-5_cosine_active",
    "tiny_gradient_1e-5_eps_damping",
)
HISTORIES = {
    "momentum": ("momentum",),
    "previous_gradient": ("previous_gradient",),
    "gradient_ema": ("gradient_ema",),
}


def _params(case):
    inputs = case["inputs"]
    if "param" in inputs:
        return [np.float32(goldens.array(inputs["param"], inputs["shape"]))]
    return [np.float32(goldens.array(p)) for p in inputs["params"]]


def _gradients(case, params):
    single = "param" in case["inputs"]
    for recorded in case["inputs"]["grads"]:
        leaves = [recorded] if single else recorded
        yield [
            np.float32(goldens.array(g, p.shape))
            for g, p in zip(leaves, params, strict=True)
        ]


def _expected(case):
    expected = case["expected"]
    if "steps" in expected:
        return [[step["param"]] for step in expected["steps"]]
    return expected["params_per_step"]


def _replace_states(state, kind, change):
    """A state in which each node of one kind is replaced by `change(node)`."""

    def is_kind(node):
        return isinstance(node, kind)

    return jax.tree.map(
        lambda n: change(n) if is_kind(n) else n, state, is_leaf=is_kind
    )


def _load_state(state, recorded, config, shape):
    """The optimizer's state with the recorded histories in place of its zeros."""
    if isinstance(recorded, str):
        return state

    def leaf(name):
        values = recorded[name]
        filled = np.zeros(shape) if values is None else goldens.array(values, shape)
        return [np.float32(filled)]

    def load(contest):
        names = HISTORIES[config.opponent_source]
        loaded = tuple(leaf(name) for name in names)
        return contest._replace(
            step=np.int32(recorded["step"]),
            memories=loaded + contest.memories[len(names) :],
        )

    def load_moment(outer):
        inner = _replace_states(outer.inner, ContestState, load)
        return outer._replace(second_moment=leaf("second_moment"), inner=inner)

    state = _replace_states(state, PreconditionState, load_moment)
    return _replace_states(state, ContestState, load)


def _trajectory(case, tx, config):
    params = _params(case)
    recorded = case["inputs"].get("initial_state", "zeros_like(param)")
    state = _load_state(tx.init(params), recorded, config, params[0].shape)
    gradients = [np.stack(leaf) for leaf in zip(*_gradients(case, params), strict=True)]
    _, after, _ = running.run(tx, gradients, params, state=state)
    return zip(*after, strict=True)


def _agrees(case, tx, config):
    pairs = zip(_trajectory(case, tx, config), _expected(case), strict=True)
    return all(
        goldens.close(a, goldens.array(b, a.shape))
        for params, expected in pairs
        for a, b in zip(params, expected, strict=True)
    )


def _check_recording(name):
    case = (STEPS | ADAPTERS)[name]
    config = neo.compat.NEATConfig(**case["config"])
    tx = neo.compat.from_config(config)
    if name == TORCH_LAYOUT:
        plain = dataclasses.replace(config, gradient_centralization=False)
        tx = optax.chain(optax.centralize(), neo.compat.from_config(plain))
    differs = name in goldens.DIFFERENCES and name not in ONLY_STATE_DIFFERS
    assert _agrees(case, tx, config) != differs


@pytest.mark.parametrize(
    "name",
    [
        "tiny_opponent_norm_1e-5_projection_zeroed",  # a difference
        "traj_adaptive_alpha",
        "traj_lion_preset",
        TORCH_LAYOUT,
    ],
)
def test_agrees_with_the_original(name):
    _check_recording(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS | ADAPTERS)
def test_agrees_with_every_recording(name):
    _check_recording(name)


@pytest.mark.parametrize("name", goldens.DIFFERENCES)
def test_every_listed_difference_is_recorded(name):
    assert name in STEPS


def _oracle(config, tree, gradients):
    """The oracle's parameters after each step, leaf by leaf.

    A correction as long as the gradient leaves a rounding of zero for an update. Where
    its direction is remembered it decides the following steps: they have no answer.
    """
    states = {key: reference.zeros_like(value) for key, value in tree.items()}
    params = tree
    for gradient in gradients:
        steps = {
            key: reference.neat_step(params[key], gradient[key], states[key], config)
            for key in tree
        }
        params = {key: step.param for key, step in steps.items()}
        states = {key: step.state for key, step in steps.items()}
        yield params
        if any(_cancels(**step.metrics) for step in steps.values()):
            return


def _cancels(grad_norm, update_norm, **_):
    return update_norm < 1e-6 * grad_norm


SHAPES = {"vector": (3,), "cube": (2, 1, 2)}
COVERING = samplers.covering_configs(6)


def _check_against_oracle(config, seeds, dtype, shapes=SHAPES, **tolerance):
    """Four steps, in every second run with a gradient that is not finite."""
    tx = neo.compat.from_config(config)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        params = {k: np.asarray(rng.normal(size=s), dtype) for k, s in shapes.items()}
        stacks = {
            k: np.asarray(rng.normal(size=(4, *s)), dtype) for k, s in shapes.items()
        }
        if seed % 2:
            for stack in stacks.values():
                stack[2].flat[0] = np.nan
        _, after, _ = running.run(tx, stacks, params)
        wide = {k: np.asarray(v, np.float64) for k, v in params.items()}
        steps = [{k: v[t] for k, v in stacks.items()} for t in range(4)]
        for t, expected in enumerate(_oracle(config, wide, steps)):
            actual = {k: v[t] for k, v in after.items()}
            properties.assert_trees_close(actual, expected, **tolerance)


def _check_in_float32(config, seeds):
    _check_against_oracle(config, seeds, np.float32, rtol=2e-5, atol=2e-5)


def _check_in_float64(config, seeds, shapes=SHAPES):
    """Averages of decisions are float32 at any precision; all else is float64."""
    averaged = config.adaptive_alpha or config.adaptive_correction
    rtol = 1e-6 if averaged else 1e-10
    with jax.enable_x64(True):
        _check_against_oracle(config, seeds, np.float64, shapes, rtol=rtol, atol=rtol)


@pytest.mark.fast("0", "3")
@pytest.mark.parametrize("number", range(len(COVERING)))
def test_agrees_with_the_oracle(number):
    _check_in_float64(COVERING[number], range(6), {"cube": SHAPES["cube"]})


@pytest.mark.fast("0")
@pytest.mark.parametrize("number", range(2))
def test_agrees_with_the_oracle_in_float32(number):
    _check_in_float32(COVERING[number], range(6))


@pytest.mark.slow
@settings(max_examples=30)
@given(samplers.configs(), samplers.seeds)
@running.quickly()
def test_any_configuration_agrees_with_the_oracle(config, seed):
    _check_in_float32(config, [seed])
    _check_in_float64(config, [seed])


@given(samplers.opposed_pairs(), st.sampled_from([1e-12, 1e12]))
def test_the_oracle_is_scale_free(pair, scale):
    gradient, opponent = (x.astype(np.float64) for x in pair)
    config = neo.compat.NEATConfig(
        opponent_source="previous_gradient", adaptive_correction=True
    )

    def decide(factor):
        state = reference.State(previous_gradient=opponent * factor)
        metrics = reference.neat_step(
            np.zeros_like(gradient), gradient * factor, state, config
        ).metrics
        return metrics["conflict_ratio"], metrics["correction_ratio"]

    np.testing.assert_allclose(decide(scale), decide(1.0), rtol=1e-9)


def test_first_step_by_hand():
    """p = [1, -2], g = [.5, -.25], lr .1: momentum .1 g, so p - .01 g."""
    params, gradients = np.float32([1.0, -2.0]), np.float32([[0.5, -0.25]])
    updates, _, _ = running.run(neo.neat(0.1), gradients, params)
    np.testing.assert_allclose(updates, [[-0.005, 0.0025]], rtol=1e-6)
