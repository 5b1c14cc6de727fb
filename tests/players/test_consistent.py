import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running
from neat_optax.players import value_and_consmtl_grads

RECORDED = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "preferences.json").read_text()
)["consmtl"]


def trunk(weights, inputs):
    return jnp.tanh(inputs @ weights)


def head(player):
    return lambda heads, z, targets: jnp.mean(
        (z @ heads[player] - targets[player]) ** 2
    )


def together(heads, z, targets):
    return jnp.mean((z @ heads.T - targets.T) ** 2, axis=0)


@functools.partial(
    jax.jit, static_argnames=("heads_fn", "unit"), compiler_options=running.quick()
)
def step(heads_fn, params, inputs, targets, strength, unit=1.0):
    """One compiled function for each form of the losses."""
    scaled = (lambda *given: unit * heads_fn(*given)) if unit != 1 else heads_fn
    grads_fn = value_and_consmtl_grads(trunk, scaled, strength)
    return grads_fn(params, inputs, targets)


def run(case, heads_fn, heads=None, strength=None, unit=1.0):
    heads = case["heads"] if heads is None else heads
    strength = case["strength"] if strength is None else strength
    params = {"trunk": np.float32(case["trunk"]), "heads": np.float32(heads)}
    given = np.float32(case["inputs"]), np.float32(case["targets"])
    found = step(heads_fn, params, *given, np.float32(strength), unit=unit)
    return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize("case", RECORDED)
def test_recorded(case):
    """By one function of all losses; the extra part is clipped in the second case."""
    losses, grads = run(case, together)
    np.testing.assert_allclose(losses, case["losses"], rtol=1e-5)
    np.testing.assert_allclose(grads["trunk"], case["trunk_gradient"], atol=2e-5)
    np.testing.assert_allclose(grads["heads"], case["heads_gradient"], atol=2e-5)


@pytest.mark.slow
def test_a_function_for_each_player_and_one_that_is_not_finite():
    case = RECORDED[0]
    fns = tuple(head(player) for player in range(3))
    _, grads = run(case, fns)
    np.testing.assert_allclose(grads["trunk"], case["trunk_gradient"], atol=2e-5)
    np.testing.assert_allclose(grads["heads"], case["heads_gradient"], atol=2e-5)
    heads = np.array(case["heads"])
    heads[1] = np.nan
    _, grads = run(case, fns, heads)
    assert np.all(np.isfinite(grads["trunk"]))
    assert np.all(np.isfinite(grads["heads"]))
    assert not np.any(grads["heads"][1])


@pytest.mark.slow
def test_the_unit_of_the_losses():
    """Heads follow it; FairGrad's update is as the root of three in it."""
    case = RECORDED[1]
    _, usual = run(case, together, strength=1e30)
    for unit in (1e-12, 1e12):
        _, grads = run(case, together, strength=1e30, unit=unit)
        np.testing.assert_allclose(grads["heads"], unit * usual["heads"], rtol=1e-4)
        expected = unit ** (-1 / 3) * usual["trunk"]
        np.testing.assert_allclose(grads["trunk"], expected, rtol=1e-3)


def test_errors():
    with pytest.raises(ValueError, match=r"`strength` must be in \[0, inf\), got -1"):
        value_and_consmtl_grads(trunk, together, -1.0)
    with pytest.raises(ValueError, match=r"`max_ratio` must be in \[0, inf\), got -1"):
        value_and_consmtl_grads(trunk, together, max_ratio=-1.0)
