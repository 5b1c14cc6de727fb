"""The recipes against the original's recordings, and against the oracle."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goldens
import neat_optax as neo
import properties
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
        return [jnp.asarray(goldens.array(inputs["param"], inputs["shape"]), "float32")]
    return [jnp.asarray(goldens.array(p), "float32") for p in inputs["params"]]


def _gradients(case, params):
    single = "param" in case["inputs"]
    for recorded in case["inputs"]["grads"]:
        leaves = [recorded] if single else recorded
        yield [
            jnp.asarray(goldens.array(g, p.shape), "float32")
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
        return [jnp.asarray(filled, jnp.float32)]

    def load(contest):
        names = HISTORIES[config.opponent_source]
        loaded = tuple(leaf(name) for name in names)
        return contest._replace(
            step=jnp.asarray(recorded["step"], jnp.int32),
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
    update = jax.jit(tx.update)
    for gradient in _gradients(case, params):
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        yield params


def _agrees(case, tx, config):
    pairs = zip(_trajectory(case, tx, config), _expected(case), strict=True)
    return all(
        goldens.close(a, goldens.array(b, a.shape))
        for params, expected in pairs
        for a, b in zip(params, expected, strict=True)
    )


@pytest.mark.parametrize("name", STEPS | ADAPTERS)
def test_agrees_with_the_original(name):
    case = (STEPS | ADAPTERS)[name]
    config = neo.compat.NEATConfig(**case["config"])
    tx = neo.compat.from_config(config)
    if name == TORCH_LAYOUT:
        plain = dataclasses.replace(config, gradient_centralization=False)
        tx = optax.chain(optax.centralize(), neo.compat.from_config(plain))
    differs = name in goldens.DIFFERENCES and name not in ONLY_STATE_DIFFERS
    assert _agrees(case, tx, config) != differs


@pytest.mark.parametrize("name", goldens.DIFFERENCES)
def test_every_listed_difference_is_recorded(name):
    assert name in STEPS


def _oracle(config, tree, gradients):
    """The oracle's parameters after each step, leaf by leaf."""
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


def _check_against_oracle(tree, config, seed, dtype, **tolerance):
    """Four steps, in every other run with a gradient that is not finite."""
    rng = np.random.default_rng(seed)
    # Rounded first, so that both sides start from the same numbers.
    params = {k: jnp.asarray(v, dtype) for k, v in tree.items()}
    gradients = [
        {k: jnp.asarray(rng.normal(size=v.shape), dtype) for k, v in tree.items()}
        for _ in range(4)
    ]
    if rng.random() < 0.5:
        gradients[2] = {
            k: g.at[(0,) * g.ndim].set(jnp.nan) for k, g in gradients[2].items()
        }
    tx = neo.compat.from_config(config)
    state, update = tx.init(params), jax.jit(tx.update)
    wide = {k: np.asarray(v, np.float64) for k, v in params.items()}
    for gradient, expected in zip(
        gradients, _oracle(config, wide, gradients), strict=True
    ):
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        properties.assert_trees_close(params, expected, **tolerance)


@settings(max_examples=30)
@given(samplers.trees(), samplers.configs(), samplers.seeds)
def test_agrees_with_the_oracle_in_float32(tree, config, seed):
    _check_against_oracle(tree, config, seed, "float32", rtol=2e-5, atol=2e-5)


@settings(max_examples=30)
@given(samplers.trees(), samplers.configs(), samplers.seeds)
def test_agrees_with_the_oracle_in_float64(tree, config, seed):
    """Averages of decisions are float32 at any precision; all else is float64."""
    averaged = config.adaptive_alpha or config.adaptive_correction
    rtol = 1e-6 if averaged else 1e-10
    with jax.enable_x64(True):
        _check_against_oracle(tree, config, seed, "float64", rtol=rtol, atol=rtol)


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
    tx = neo.neat(0.1)
    params = jnp.array([1.0, -2.0])
    update, _ = tx.update(jnp.array([0.5, -0.25]), tx.init(params), params)
    np.testing.assert_allclose(update, [-0.005, 0.0025], rtol=1e-6)
