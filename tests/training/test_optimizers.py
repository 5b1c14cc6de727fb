import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neat_optax import diagnostics
from neat_optax.training.optimizers import (
    CANDIDATES,
    DEFAULT,
    rates,
    with_controls,
)


def run(name, rate, alpha, steps=8):
    """Parameters and state after gradients that change sign at every other step."""
    optimizer = CANDIDATES[name].build(rate, alpha)
    params = jnp.array([1.0, -2.0])
    state = optimizer.init(params)
    for step in range(steps):
        gradient = jnp.array([1.0, 0.5]) * (1 if step % 4 < 2 else -1)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_measures_conflict(name):
    measured = diagnostics(run(name, 0.1, 0.5)[1])
    assert measured["opposed"].mean > 0
    corrected = measured["correction_ratio"].mean
    assert (corrected > 0) == (name in ("neat", "adaptive", "adaptive-alpha", "lion"))


def test_control_steps_like_heavy_ball_at_the_matched_rate():
    control, _ = run("control", 0.2, 0.5)
    heavy_ball, _ = run("sgd", 0.2 * 0.1, 0.5)
    np.testing.assert_allclose(control, heavy_ball, rtol=1e-5)


def test_every_optimizer_gets_the_same_number_of_rates():
    assert len({len(rates(name, None)) for name in CANDIDATES}) == 1


def test_a_given_rate_is_matched():
    np.testing.assert_allclose(rates("neat", 0.3), [0.3])
    np.testing.assert_allclose(rates("control", 0.3), [0.3])
    np.testing.assert_allclose(rates("sgd", 0.3), [0.03])


def test_controls_are_added_once_and_after_what_they_control():
    assert with_controls(("neat", "adam")) == ("neat", "control", "adam")
    assert with_controls(DEFAULT) == DEFAULT
    assert with_controls(("unknown",)) == ("unknown",)


def test_builders_accept_traced_rates():
    for name in CANDIDATES:
        jax.jit(lambda rate, name=name: run(name, rate, 0.5, steps=1)[0])(0.1)
