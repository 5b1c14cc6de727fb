"""Utilities and means of units: averages that are free of their start."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import running


def small():
    return {
        "first": {
            "kernel": np.array([[1.0, 2.0, 3.0]], "f4"),
            "bias": np.arange(3, dtype="f4"),
        },
        "head": {"kernel": np.array([[1.0, -1.0], [0.0, 1.0], [3.0, 0.0]], "f4")},
    }


@pytest.mark.fast("True-60")
@pytest.mark.parametrize(("debias", "hit"), [(True, 60), (False, 20)])
def test_equal_units_are_all_replaced_in_time(debias, hit):
    """100 units with 10 % noise and 3000 steps. Undebiased, the young go again."""
    params = {
        "first": {"kernel": np.ones((1, 100), "f4")},
        "head": {"kernel": np.ones((100, 1), "f4")},
    }
    tx = neo.continual.continual_backprop(
        optax.sgd(0.0), ("first", "head"), replacement_rate=1e-3, debias=debias
    )

    def step(carry, key):
        state, hits = carry
        noise = 0.1 * jax.random.normal(key, (100,))
        given = {"first": 1 + noise}
        _, after = tx.update(params, state, params, unit_activity=given)
        return (after, hits + (after.records[0].age == 0)), None

    def play(keys):
        return jax.lax.scan(step, (tx.init(params), jnp.zeros(100, int)), keys)[0][1]

    hits = jax.jit(play)(jax.random.split(jax.random.key(0), 3000))
    assert int(hits.sum()) > 250
    assert (np.sum(hits > 0) >= hit) == debias


def test_a_decay_that_varies_is_divided_out_too():
    tx = neo.continual.continual_backprop(
        optax.sgd(0.0),
        ("first", "head"),
        utility_decay=optax.linear_schedule(0.0, 0.9, 4),
    )
    active = np.float32([[1.0, 2.0, 4.0], [3.0, 1.0, 4.0], [5.0, 3.0, 4.0]])
    start, steps = (
        small(),
        jax.tree.map(lambda p: np.zeros((3, *p.shape), "f4"), small()),
    )
    _, _, state = running.run(tx, steps, start, unit_activity={"first": active})
    first, second, third = 0.225, 0.45, 1.0  # 1 - decay is 1, .775, .55
    weights = np.array([0.775 * 0 + first * second, 0.775 * second, 0.55 * third])
    expected = weights @ (active * [2, 1, 3]) / weights.sum()
    np.testing.assert_allclose(state.records[0].utility, expected, rtol=1e-5)


@pytest.mark.fast("True")
@pytest.mark.parametrize("signed", [True, False])
def test_the_next_bias_takes_over_the_mean_contribution(signed):
    """What the head gives for the mean of its inputs stays, a mean with a sign too."""
    tx = neo.continual.continual_backprop(
        optax.sgd(1.0),
        ("first", "head"),
        replacement_rate=0.25,
        maturity=0,
        utility_decay=0.5,
        carry_mean=True,
    )
    params = small() | {"head": {**small()["head"], "bias": np.float32([5, 6])}}
    mean = np.float32([-0.5 if signed else 0.5, 8.0, 2.0])
    seen = {"first": np.stack([mean, 3 * mean])}
    more = {"unit_mean": seen} if signed else {}
    activity = jax.tree.map(np.abs, seen)
    moves = jax.tree.map(lambda p: np.ones((2, *p.shape), "f4"), params)
    _, after, state = running.run(tx, moves, params, unit_activity=activity, **more)
    assert state.records[0].age.tolist() == [0, 2, 2]
    head, bias = after["head"]["kernel"][1], after["head"]["bias"][1]
    assert head.tolist() == [[0, 0], [-2, -1], [1, -2]]
    average = (0.25 * 1 + 0.5 * 3) / 0.75 * mean[0]
    lost = average * np.float32([1 - 2, -1 - 2])
    np.testing.assert_allclose(bias, np.float32([5 - 2, 6 - 2]) + lost, rtol=1e-6)
    assert state.records[0].mean[0] == 0


def test_a_mean_that_no_bias_can_take_over():
    tx = neo.continual.continual_backprop(
        optax.sgd(0.1), ("first", "head"), carry_mean=True
    )
    message = (
        r"^`carry_mean` must have a bias in each layer after a hidden one, got none in "
        r"'head'\.$"
    )
    with pytest.raises(ValueError, match=message):
        tx.init(small())
