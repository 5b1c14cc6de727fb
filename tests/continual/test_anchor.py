"""L2 Init: a pull towards the start."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from running import run


def array(*entries, dtype=np.float32):
    return np.array(entries, dtype)


def pulls(tx, starts, now):
    """What the parameters `now` are pulled by, from a start at other ones."""
    state = jax.jit(tx.init)(starts)
    zeros = jax.tree.map(lambda p: np.zeros((1, *p.shape), p.dtype), now)
    updates, _, after = run(tx, zeros, now, state=state)
    return jax.tree.map(lambda u: u[0], updates), after


def test_by_hand():
    start = {"w": array(1, -2), "none": None}
    now = {"w": array(3, -2), "none": None}
    updates, after = pulls(neo.continual.l2_to_init(0.5), start, now)
    assert updates["w"].tolist() == [1, 0]
    assert after.start["w"].tolist() == [1, -2]


def test_it_is_added_to_the_update():
    tx = neo.continual.l2_to_init(0.5)
    state = jax.jit(tx.init)(array(1, -2))
    updates, _, _ = run(tx, array([0.25, 0.25]), array(3, -2), state=state)
    assert updates[0].tolist() == [1.25, 0.25]


def test_it_is_the_gradient_of_the_penalty():
    start, now = array(1, -2, 0.5), array(0.3, 4, 0.5)
    penalty = lambda p: 0.35 * jnp.sum((p - start) ** 2)  # noqa: E731
    updates, _ = pulls(neo.continual.l2_to_init(0.7), start, now)
    np.testing.assert_allclose(updates, jax.jit(jax.grad(penalty))(now), rtol=1e-6)


def test_without_a_gradient_parameters_return():
    tx = optax.chain(neo.continual.l2_to_init(1.0), optax.sgd(0.1))
    start = array(1, -1)
    state = jax.jit(tx.init)(start)
    _, after, _ = run(tx, np.zeros((200, 2), np.float32), array(9, 9), state=state)
    np.testing.assert_allclose(after[-1], start, atol=1e-5)


def test_a_mask_leaves_parameters_out():
    tx = neo.continual.l2_to_init(1.0, mask={"w": True, "b": False})
    params = {"w": array(0, 0), "b": array(0, 0)}
    updates, _ = pulls(tx, params, {"w": array(1, 1), "b": array(1, 1)})
    assert updates["w"].tolist() == [1, 1]
    assert updates["b"].tolist() == [0, 0]


def test_a_schedule_counts_steps():
    tx = neo.continual.l2_to_init(lambda step: 1.0 * step)
    state = jax.jit(tx.init)(array(0))
    zeros = np.zeros((3, 1), np.float32)
    updates, _, _ = run(tx, zeros, array(1), state=state, move=False)
    assert updates[:, 0].tolist() == [0, 1, 2]


def test_parameters_may_be_donated():
    tx = neo.continual.l2_to_init(0.1)
    w = jnp.asarray(array(1, 1))
    state = tx.init(w)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(w, state):
        updates, state = tx.update(jnp.ones(2), state, w)
        return optax.apply_updates(w, updates), state

    for _ in range(2):
        w, state = step(w, state)
    assert state.start.tolist() == [1, 1]


def test_low_precision_keeps_a_small_difference():
    one, above = (array(x, dtype=jnp.bfloat16) for x in (1, 1.0078125))
    updates, _ = pulls(neo.continual.l2_to_init(1.0), one, above)
    assert updates.dtype == jnp.bfloat16
    assert updates.tolist() == [0.0078125]


def test_bad_input():
    message = r"^`strength` must be in \[0, inf\), got -1\.0\.$"
    with pytest.raises(ValueError, match=message):
        neo.continual.l2_to_init(-1.0)
    tx = neo.continual.l2_to_init(1.0)
    message = r"^`params` must be passed to update for l2_to_init, got None: "
    with pytest.raises(ValueError, match=message):
        tx.update(array(1), tx.init(array(1)))
