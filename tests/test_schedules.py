"""The steps at which something is due, in masks as an example."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import running
from neat_optax._schedules import when
from neat_optax.sparsity import prune_to_sparsity, straight_through

W = np.arange(1.0, 21.0, dtype=np.float32).reshape(4, 5)
RAMP = optax.linear_schedule(0.0, 1.0, 20)
NEVER = 99


def counts(updates):
    """How many of 20 weights are zero after each step; a ramp prunes one more each."""
    return np.sum(W + np.asarray(updates) == 0, axis=(-2, -1)).tolist()


@pytest.mark.parametrize("number", [float, np.float32])
def test_a_schedule_beyond_the_range_is_cut_whatever_it_returns(number):
    """Of a sparsity of 1.2, one weight is left: as of the same ramp in JAX."""
    beyond = lambda _: number(1.2)  # noqa: E731
    assert pruned(prune_to_sparsity(beyond), steps=1)[0] == [19]


def pruned(tx, steps=10, state=None):
    """The counts of so many steps, and the last state."""
    still = np.zeros((steps, *W.shape), np.float32)
    updates, _, state = running.run(tx, still, W, state=state, move=False)
    return counts(updates), state


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0, 0, 0))
def traced(sparsity, begin, every, end):
    """The updates of ten steps, with cadences that are no Python numbers."""

    def schedule(step):
        return jnp.where(sparsity > 0, sparsity, RAMP(step))

    tx = prune_to_sparsity(schedule, begin=begin, every=every, end=end)

    def step(state, _):
        updates, state = tx.update(jnp.zeros_like(W), state, W)
        return state, updates

    return jax.lax.scan(step, tx.init(W), length=10)[1]


def test_by_hand():
    cases = {
        (0, 1, NEVER): list(range(10)),
        (3, 1, NEVER): [0] * 3 + list(range(3, 10)),
        (0, 4, NEVER): [0] * 4 + [4] * 4 + [8] * 2,
        (0, 1, 2): [0, 1] + [2] * 8,
        (0, 1, 0): [0] * 10,
        (1, 3, 7): [0, 1, 1, 1, 4, 4, 4, 7, 7, 7],
    }
    found = traced(np.float32(0), *np.int32(list(cases)).T)
    assert counts(found) == list(cases.values())
    found = traced(np.float32(0.5), *np.int32([(4, 1, 4), (2, 50, NEVER)] * 3).T)
    assert counts(found)[:2] == [[0] * 4 + [10] * 6, [0] * 2 + [10] * 8]


@given(
    begin=st.integers(0, 12),
    every=st.integers(1, 7),
    length=st.none() | st.integers(0, 15),
    cast=st.sampled_from([int, np.int64, jnp.int32, jnp.float32]),
)
def test_agrees_with_a_range_and_its_end(begin, every, length, cast):
    end = None if length is None else begin + length
    cadence = when(cast(begin), cast(every), end if end is None else cast(end))
    due = np.asarray(cadence.due(np.arange(30, dtype=np.int32)))
    steps = set(range(begin, 30 if end is None else end + 1, every))
    steps |= set() if end is None else {end}
    assert due.dtype == bool
    assert set(np.flatnonzero(due)) == {step for step in steps if step < 30}


def test_far_steps():
    far = 2**31 - 1
    assert not when(far, 1, None).due(jnp.int32(far - 1))
    assert when(far, 1, None).due(jnp.int32(far))
    assert when(0, far, far).due(jnp.int32(far))


def test_hyperparameters_can_be_injected_and_changed():
    """`begin` by a schedule, all others by numbers; two are changed after 5 steps."""
    inject = optax.inject_hyperparams(prune_to_sparsity)
    plain, _ = pruned(prune_to_sparsity(RAMP, begin=1, every=3, end=7))
    assert plain == [0, 1, 1, 1, 4, 4, 4, 7, 7, 7]
    tx = inject(RAMP, begin=lambda _: 1, every=3, end=7)
    before, state = pruned(tx, 5)
    after, _ = pruned(tx, 5, state)
    assert before + after == plain
    new = {"every": jnp.int32(2), "end": jnp.int32(9)}
    changed = state._replace(hyperparams={**state.hyperparams, **new})
    after, _ = pruned(tx, 5, changed)
    assert before + after == [0, 1, 1, 1, 4, 5, 5, 7, 7, 9]


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
