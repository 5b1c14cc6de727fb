import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

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
TASK = make_task(Data(SPLIT, SPLIT, SPLIT))


def run(name, rate, alpha, steps=8):
    """Parameters and state after gradients that change sign at every other step."""
    setting = Setting(alpha, TASK, steps, jax.random.key(0), {})
    optimizer = CANDIDATES[name].build(rate, setting)
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


def test_the_named_measures_are_read():
    assert set(OPTIMIZERS.measures(run("neat", 0.1, 0.5)[1])) == {
        "conflict",
        "opposed",
        "correction_ratio",
        "update_alignment",
    }


def test_a_given_rate_is_matched():
    np.testing.assert_allclose(OPTIMIZERS.rates("neat", 0.3), [0.3])
    np.testing.assert_allclose(OPTIMIZERS.rates("control", 0.3), [0.3])
    np.testing.assert_allclose(OPTIMIZERS.rates("sgd", 0.3), [0.03])


def test_builders_accept_traced_rates():
    for name in CANDIDATES:
        jax.jit(lambda rate, name=name: run(name, rate, 0.5, steps=1)[0])(0.1)
