"""L2 Init: a pull towards the start."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo


def test_by_hand():
    tx = neo.continual.l2_to_init(0.5)
    start = {"w": jnp.array([1.0, -2.0]), "none": None}
    state = tx.init(start)
    now = {"w": jnp.array([3.0, -2.0]), "none": None}
    grads = {"w": jnp.array([0.25, 0.25]), "none": None}
    updates, after = tx.update(grads, state, now)
    assert updates["w"].tolist() == [1.25, 0.25]
    assert after.start["w"].tolist() == [1.0, -2.0]


def test_it_is_the_gradient_of_the_penalty():
    start, now = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.3, 4.0, 0.5])
    penalty = lambda p: 0.35 * jnp.sum((p - start) ** 2)  # noqa: E731
    tx = neo.continual.l2_to_init(0.7)
    updates, _ = tx.update(jnp.zeros(3), tx.init(start), now)
    np.testing.assert_allclose(updates, jax.grad(penalty)(now), rtol=1e-6)


def test_without_a_gradient_parameters_return():
    tx = optax.chain(neo.continual.l2_to_init(1.0), optax.sgd(0.1))
    start = jnp.array([1.0, -1.0])
    state, w = tx.init(start), jnp.array([9.0, 9.0])
    for _ in range(200):
        updates, state = tx.update(jnp.zeros(2), state, w)
        w = optax.apply_updates(w, updates)
    np.testing.assert_allclose(w, start, atol=1e-5)


def test_a_mask_leaves_parameters_out():
    tx = neo.continual.l2_to_init(1.0, mask={"w": True, "b": False})
    params = {"w": jnp.zeros(2), "b": jnp.zeros(2)}
    state = tx.init(params)
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = tx.update(params, state, ones)
    assert updates["w"].tolist() == [1.0, 1.0]
    assert updates["b"].tolist() == [0.0, 0.0]


def test_a_schedule_counts_steps():
    tx = neo.continual.l2_to_init(lambda step: 1.0 * step)
    state = tx.init(jnp.zeros(()))
    pulls = []
    for _ in range(3):
        updates, state = tx.update(jnp.zeros(()), state, jnp.ones(()))
        pulls.append(float(updates))
    assert pulls == [0.0, 1.0, 2.0]


def test_parameters_may_be_donated():
    tx = neo.continual.l2_to_init(0.1)
    w = jnp.ones(4)
    state = tx.init(w)

    @jax.jit
    def step(w, state):
        updates, state = tx.update(jnp.ones(4), state, w)
        return optax.apply_updates(w, updates), state

    donating = jax.jit(step, donate_argnums=(0, 1))
    w, state = donating(w, state)
    w, state = donating(w, state)
    assert state.start.tolist() == [1.0] * 4


def test_low_precision_keeps_a_small_difference():
    tx = neo.continual.l2_to_init(1.0)
    start = jnp.array([1.0], jnp.bfloat16)
    now = jnp.array([1.0078125], jnp.bfloat16)
    updates, _ = tx.update(jnp.zeros(1, jnp.bfloat16), tx.init(start), now)
    assert updates.dtype == jnp.bfloat16
    assert updates.tolist() == [0.0078125]


def test_bad_input():
    message = r"^`strength` must be in \[0, inf\), got -1\.0\.$"
    with pytest.raises(ValueError, match=message):
        neo.continual.l2_to_init(-1.0)
    tx = neo.continual.l2_to_init(1.0)
    message = r"^`params` must be passed to update for l2_to_init, got None: "
    with pytest.raises(ValueError, match=message):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
