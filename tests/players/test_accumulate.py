"""Micro-batches are averaged for each player, and aggregated once."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import properties
import running
from neat_optax import aggregators

COUNT, EVERY = 3, 4
RNG = np.random.default_rng(0)
PARAMS = {"w": np.zeros((3, 2), "f4"), "b": np.zeros(2, "f4")}
GRADS = {
    name: RNG.normal(size=(2 * EVERY, COUNT, *x.shape)).astype("f4")
    for name, x in PARAMS.items()
}
LOSSES = RNG.uniform(1, 2, size=(2 * EVERY, COUNT)).astype("f4")


def accumulated(inner):
    return neo.accumulate_players(inner, EVERY, num_players=COUNT)


def mean_of(stack, present=None):
    """Means over the micro-batches of each update: [2, P, ...]."""
    groups = stack.reshape(2, EVERY, *stack.shape[1:])
    if present is None:
        return groups.mean(axis=1)
    weights = present.reshape(2, EVERY, COUNT, *[1] * (stack.ndim - 2))
    counts = np.maximum(weights.sum(axis=1), 1)
    return np.where(weights, groups, 0).sum(axis=1) / counts


@pytest.mark.fast("stch")
@pytest.mark.parametrize(
    "inner",
    [
        optax.chain(aggregators.upgrad(), optax.adam(0.1)),
        optax.chain(aggregators.stch(), optax.sgd(0.1)),
    ],
    ids=["upgrad", "stch"],
)
def test_one_update_of_the_means(inner):
    updates, _, state = running.run(accumulated(inner), GRADS, PARAMS, losses=LOSSES)
    means = jax.tree.map(mean_of, GRADS)
    expected, _, own = running.run(inner, means, PARAMS, losses=mean_of(LOSSES))
    last = jax.tree.map(lambda x: x[EVERY - 1 :: EVERY], updates)
    properties.assert_trees_close(last, expected, rtol=2e-5, atol=1e-6)
    properties.assert_trees_close(state.inner, own, rtol=2e-5, atol=1e-6)
    others = jax.tree.map(lambda x: np.delete(x, [EVERY - 1, -1], axis=0), updates)
    assert not any(map(np.any, jax.tree.leaves(others)))


def test_absent_players_count_where_they_are_present():
    """Player 0 is in two micro-batches of four, player 2 in none of the second four."""
    present = np.ones((2 * EVERY, COUNT), bool)
    present[[0, 2], 0] = present[EVERY:, 2] = False
    inner = optax.chain(aggregators.upgrad(), optax.sgd(1.0))
    tx = accumulated(inner)
    grads = {**GRADS, "w": GRADS["w"].copy()}
    broken = {**grads, "w": np.where(present[..., None, None], grads["w"], np.nan)}
    updates, _, _ = running.run(tx, grads, PARAMS, present=present)
    dropped, _, _ = running.run(tx, broken, PARAMS, present=np.ones_like(present))
    properties.assert_trees_close(dropped, updates, rtol=1e-6)
    there = np.array([[True] * 3, [True, True, False]])
    means = jax.tree.map(lambda x: mean_of(x, present), grads)
    expected, _, _ = running.run(inner, means, PARAMS, present=there)
    last = jax.tree.map(lambda x: x[EVERY - 1 :: EVERY], updates)
    properties.assert_trees_close(last, expected, rtol=2e-5, atol=1e-6)


def test_sums_of_low_precision_are_float32():
    """1 + 128 * 2^-9 is 1.25 over 129; a sum in bfloat16 would stay at 1."""
    tx = neo.accumulate_players(aggregators.sum(), 129, num_players=1)
    params = jnp.zeros((), jnp.bfloat16)
    grads = jnp.full((129, 1), 2.0**-9, jnp.bfloat16).at[0].set(1)
    updates, _, state = running.run(tx, grads, params)
    assert state.gradients.dtype == jnp.float32
    assert updates.dtype == jnp.bfloat16
    assert float(updates[-1]) == float(jnp.bfloat16(1.25 / 129))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(every=0), "`every` must be an integer >= 1, got 0"),
        (dict(num_players=0), "`num_players` must be an integer >= 1, got 0"),
    ],
)
def test_refusals(wrong, message):
    with pytest.raises(ValueError, match=message):
        neo.accumulate_players(
            optax.sgd(1.0), **{"every": 2, "num_players": 2, **wrong}
        )
