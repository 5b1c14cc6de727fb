"""At which steps a mask may change."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neat_optax._schedules import when
from neat_optax.sparsity import prune_to_sparsity, straight_through

W = jnp.arange(1.0, 21.0).reshape(4, 5)
RAMP = optax.linear_schedule(0.0, 1.0, 20)


def pruned(tx, steps=10, change=None):
    """How many of 20 weights are zero after each step; a ramp prunes one more each."""
    state, update = tx.init(W), jax.jit(tx.update)
    counts = []
    for step in range(steps):
        state = state if change is None else change(step, state)
        updates, state = update(0 * W, state, W)
        counts.append(int(jnp.sum(W + updates == 0)))
    return counts


def test_by_hand():
    assert pruned(prune_to_sparsity(RAMP)) == list(range(10))
    assert pruned(prune_to_sparsity(RAMP, begin=3)) == [0] * 3 + list(range(3, 10))
    assert pruned(prune_to_sparsity(RAMP, every=4)) == [0] * 4 + [4] * 4 + [8] * 2
    assert pruned(prune_to_sparsity(RAMP, end=2)) == [0, 1] + [2] * 8
    assert pruned(prune_to_sparsity(RAMP, end=0)) == [0] * 10
    tx = prune_to_sparsity(RAMP, begin=1, every=3, end=7)
    assert pruned(tx) == [0, 1, 1, 1, 4, 4, 4, 7, 7, 7]
    assert pruned(prune_to_sparsity(0.5, begin=4, end=4)) == [0] * 4 + [10] * 6
    assert pruned(prune_to_sparsity(0.5, begin=2, every=50)) == [0] * 2 + [10] * 8


@given(
    begin=st.integers(0, 12),
    every=st.integers(1, 7),
    length=st.none() | st.integers(0, 15),
    cast=st.sampled_from([int, np.int64, jnp.int32, jnp.float32]),
)
def test_agrees_with_a_range(begin, every, length, cast):
    end = None if length is None else begin + length
    cadence = when(cast(begin), cast(every), end if end is None else cast(end))
    due = jnp.stack([cadence.due(jnp.int32(step)) for step in range(30)])
    steps = range(begin, 30 if end is None else end + 1, every)
    assert due.dtype == jnp.bool_
    assert np.flatnonzero(due).tolist() == [step for step in steps if step < 30]


def test_far_steps():
    far = 2**31 - 1
    assert not when(far, 1, None).due(jnp.int32(far - 1))
    assert when(far, 1, None).due(jnp.int32(far))
    assert when(0, far, far).due(jnp.int32(far))


def test_hyperparameters_can_be_injected_and_changed():
    inject = optax.inject_hyperparams(prune_to_sparsity)
    plain = pruned(prune_to_sparsity(RAMP, begin=1, every=3, end=7))
    assert pruned(inject(RAMP, begin=1, every=3, end=7)) == plain
    assert pruned(inject(RAMP, begin=lambda _: 1, every=3, end=7)) == plain

    def change(step, state):
        if step == 5:
            new = {"every": jnp.int32(2), "end": jnp.int32(9)}
            state = state._replace(hyperparams={**state.hyperparams, **new})
        return state

    changed = pruned(inject(RAMP, begin=1, every=3, end=7), change=change)
    assert changed == [0, 1, 1, 1, 4, 5, 5, 7, 7, 9]


def test_under_vmap_over_hyperparameters():
    def count(begin, every):
        tx = prune_to_sparsity(RAMP, begin=begin, every=every)
        _, state = tx.update(W, tx.init(W)._replace(step=jnp.int32(6)), W)
        return jnp.sum(~state.mask)

    found = jax.vmap(count)(jnp.array([0, 1, 3, 7]), jnp.array([3, 3, 3, 1]))
    assert found.tolist() == [6, 0, 6, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"begin": -1}, r"`begin` must be an integer >= 0, got -1\.$"),
        ({"begin": 1.0}, r"`begin` must be an integer >= 0, got 1\.0\.$"),
        ({"begin": None}, r"`begin` must be an integer >= 0, got None\.$"),
        ({"every": 0}, r"`every` must be an integer >= 1, got 0\.$"),
        ({"every": 2.5}, r"`every` must be an integer >= 1, got 2\.5\.$"),
        ({"every": True}, r"`every` must be an integer >= 1, got True\.$"),
        ({"end": -1}, r"`end` must be an integer >= 0, got -1\.$"),
        ({"end": 3.0}, r"`end` must be an integer >= 0, got 3\.0\.$"),
        ({"begin": 5, "end": 4}, r"`end` must be at least `begin`, 5, got 4\.$"),
    ],
    ids=str,
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=rf"^{message}"):
        prune_to_sparsity(0.5, **options)


@pytest.mark.parametrize("name", ["begin", "every", "end"])
def test_schedules_are_injected_or_refused(name):
    message = re.escape(f"`{name}` must be an integer, got {RAMP!r}.")
    with pytest.raises(ValueError, match=rf"^{message}$"):
        prune_to_sparsity(0.5, **{name: RAMP})


def test_bad_input_of_straight_through():
    with pytest.raises(ValueError, match=r"^`every` must be an integer >= 1, got 0\.$"):
        straight_through(W > 3, every=0)
