"""Continual backpropagation."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import layer_chains as chains
import neat_optax as neo
import properties
from layer_chains import ACTIVITY, LAYERS, touched, train

PARAMS = chains.dense_params()


def small():
    return {
        "first": {
            "kernel": np.array([[1.0, 2.0, 3.0]], "f4"),
            "bias": np.arange(3, dtype="f4"),
        },
        "head": {"kernel": np.array([[1.0, -1.0], [0.0, 1.0], [3.0, 0.0]], "f4")},
    }


def replaced(before, after):
    """For each hidden layer, the units that became new in a step."""
    pairs = zip(before.records, after.records, strict=True)
    return [np.flatnonzero((b.age > 0) & (a.age == 0)).tolist() for b, a in pairs]


def sevens(key, shape, dtype):
    del key
    return jnp.full(shape, 7.0, dtype)


@pytest.mark.fast("True")
@pytest.mark.parametrize("debias", [True, False])
def test_utilities_and_one_replacement_by_hand(debias):
    tx = neo.continual.continual_backprop(
        optax.sgd(1.0),
        ("first", "head"),
        replacement_rate=0.25,
        maturity=1,
        utility_decay=0.5,
        debias=debias,
        init=sevens,
    )
    activity = {"first": np.array([1.0, 8.0, 2.0], "f4")}

    def step(carry, gradient):
        grads = lambda params: jax.tree.map(  # noqa: E731
            lambda p: jnp.full_like(p, gradient), params
        )
        carry = chains.one_step(tx, carry, activity, grads)
        return carry, carry

    play = lambda start, slopes: jax.lax.scan(step, start, slopes)[1]  # noqa: E731
    start = small(), jax.jit(tx.init)(small())
    stacked = jax.jit(play)(start, np.array([0, 0, 1], "f4"))
    visited = chains.each(stacked, 3)
    first, second, third = (state.records[0] for _, state in visited)
    # Outgoing weights sum up to 2, 1 and 3: contributions are 2, 8 and 6.
    parts = (1, 1, 1) if debias else (0.5, 0.75, 0.875)
    whole = np.float32([2, 8, 6])
    assert first.utility.tolist() == (parts[0] * whole).tolist()
    assert first.age.tolist() == [1, 1, 1]
    assert float(first.quota) == 0  # none is older than 1
    assert second.utility.tolist() == (parts[1] * whole).tolist()
    assert float(second.quota) == 0.75
    assert third.utility.tolist() == (parts[2] * whole * [0, 1, 1]).tolist()
    assert third.age.tolist() == [0, 3, 3]
    assert float(third.quota) == 0.5
    new = visited[2][0]
    assert new["first"]["kernel"].tolist() == [[7.0, 1.0, 2.0]]
    assert new["first"]["bias"].tolist() == [0.0, 0.0, 1.0]
    assert new["head"]["kernel"].tolist() == [[0.0, 0.0], [-1.0, 0.0], [2.0, -1.0]]


def test_the_least_useful_go_and_nothing_else_moves():
    optimizer = optax.sgd(0.01, momentum=0.9)
    tx = neo.continual.continual_backprop(
        optimizer, LAYERS, replacement_rate=0.2, maturity=2
    )
    visited = train(tx, PARAMS, 3, ACTIVITY)
    plain = train(optax.with_extra_args_support(optimizer), PARAMS, 3, ACTIVITY)
    properties.assert_trees_equal(visited[1][0], plain[1][0])
    units = replaced(visited[1][1], visited[2][1])
    assert units == [[2], [1]]
    marks = touched([("first", 2), ("second", 1)], PARAMS)
    changed = jax.tree.map(lambda a, b: a != b, visited[2][0], plain[2][0])
    properties.assert_trees_equal(changed, marks)
    assert np.all(visited[2][0]["head"]["kernel"][1] == 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", chains.OPTIMIZERS)
def test_moments_are_reset_whatever_the_optimizer(name):
    """By the function that `reset_dormant` resets them with."""
    optimizer = chains.OPTIMIZERS[name][0]
    tx = neo.continual.continual_backprop(
        optimizer, LAYERS, replacement_rate=0.2, maturity=2
    )
    plain = train(optax.with_extra_args_support(optimizer), PARAMS, 3, ACTIVITY)
    _, state = train(tx, PARAMS, 3, ACTIVITY)[-1]
    marks = touched([("first", 2), ("second", 1)], PARAMS)
    kept = chains.memories(name, plain[-1][1])
    found = chains.memories(name, state.inner)
    assert len(found) == len(kept) > 0
    for memory, before in zip(found, kept, strict=True):
        expected = jax.tree.map(lambda m, b: np.where(m, 0, b), marks, before)
        properties.assert_trees_close(memory, expected, rtol=1e-5)


STEPS, MATURITY, RATES = 120, 5, (0.004, 0.05, 0.6)


@functools.cache
def states_by_rate():
    """For each rate, the states before all steps and after the last."""

    def states(rate):
        tx = neo.continual.continual_backprop(
            optax.sgd(0.01), LAYERS, replacement_rate=rate, maturity=MATURITY
        )

        def step(carry, _):
            return chains.one_step(tx, carry), carry[1]

        start = PARAMS, tx.init(PARAMS)
        return jax.lax.scan(step, start, None, length=STEPS + 1)[1]

    stacked = jax.jit(jax.vmap(states))(np.array(RATES, "f4"))
    lanes = chains.each(stacked, len(RATES))
    return dict(
        zip(RATES, (chains.each(lane, STEPS + 1) for lane in lanes), strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("rate", RATES)
def test_as_many_are_replaced_as_the_rate_says(rate):
    """A unit once in so many steps, or several at once."""
    states = states_by_rate()[rate]
    asked, taken = np.zeros(2), np.zeros(2)
    for before, after in itertools.pairwise(states):
        for layer, units in enumerate(replaced(before, after)):
            age = np.asarray(before.records[layer].age) + 1
            mature = age > MATURITY
            asked[layer] += rate * mature.sum()
            assert np.all(mature[units])
            taken[layer] += len(units)
            assert taken[layer] == pytest.approx(np.floor(asked[layer] + 1e-3), abs=1)
            assert asked[layer] - taken[layer] < 1 + 1e-3
    assert np.all(taken > 0)
    for layer, record in enumerate(states[-1].records):
        assert float(record.quota) == pytest.approx(
            asked[layer] - taken[layer], abs=1e-3
        )


def test_a_quota_is_not_lost_to_rounding():
    """Ten times a tenth is one, in every precision."""
    tx = neo.continual.continual_backprop(
        optax.sgd(0.0), ("first", "head"), replacement_rate=0.1 / 3, maturity=0
    )
    visited = train(tx, small(), 10, {"first": np.ones(3, "f4")}, chains.still)
    ages = [state.records[0].age.tolist() for _, state in visited]
    assert [0 in age for age in ages] == [False] * 9 + [True]


def test_the_young_are_safe():
    tx = neo.continual.continual_backprop(
        optax.sgd(0.01), LAYERS, replacement_rate=1.0, maturity=3
    )
    visited = train(tx, PARAMS, 9, ACTIVITY)
    ages = [s.records[1].age.tolist() for _, s in visited]
    assert ages == [[n] * 6 for n in (1, 2, 3, 0, 1, 2, 3, 0, 1)]


@pytest.mark.slow
def test_without_a_rate_it_is_the_optimizer():
    optimizer = optax.sgd(0.01, momentum=0.9)
    tx = neo.continual.continual_backprop(
        optimizer, LAYERS, replacement_rate=0.0, maturity=0
    )
    found = train(tx, PARAMS, 4)[-1][0]
    expected = train(optax.with_extra_args_support(optimizer), PARAMS, 4)[-1][0]
    properties.assert_trees_equal(found, expected)


def test_activities_that_are_not_finite_leave_no_trace():
    tx = neo.continual.continual_backprop(optax.sgd(0.01), LAYERS)
    activity = {name: np.stack([a] * 3) for name, a in ACTIVITY.items()}
    activity["first"][1:, 0] = np.nan, np.inf
    activity["second"] *= np.float32([1, 2, 3]).reshape(3, 1)

    def step(state, seen):
        _, state = tx.update(PARAMS, state, PARAMS, unit_activity=seen)
        return state, state

    run = jax.jit(lambda seen: jax.lax.scan(step, tx.init(PARAMS), seen)[1])
    first, second = jax.device_get(run(activity)).records
    np.testing.assert_array_equal(first.utility[1:], [first.utility[0]] * 2)
    assert np.all(np.diff(second.utility, axis=0) > 0)


@pytest.mark.slow
def test_outgoing_weights_of_a_flattened_convolution():
    kernel = np.arange(12, dtype="f4").reshape(6, 2)  # two positions, three channels
    params = {
        "conv": {"kernel": np.ones((2, 2, 1, 3), "f4")},
        "dense": {"kernel": kernel},
    }
    tx = neo.continual.continual_backprop(
        optax.sgd(0.1), ("conv", "dense"), utility_decay=0.0, maturity=0
    )
    activity = {"conv": np.array([1.0, 2.0, 3.0], "f4")}
    _, state = train(tx, params, 1, activity)[0]
    # Rows 0 and 3 have the sums 1 and 13, rows 1 and 4 5 and 17, rows 2 and 5 9 and 21.
    assert state.records[0].utility.tolist() == [14.0, 44.0, 90.0]


@pytest.mark.slow
def test_the_key_decides_what_is_drawn():
    def drawn(key):
        tx = neo.continual.continual_backprop(
            optax.sgd(0.1), LAYERS, replacement_rate=0.2, maturity=0, key=key
        )
        carry = chains.one_step(tx, (PARAMS, tx.init(PARAMS)), ACTIVITY)
        return carry[0]["first"]["kernel"]

    seeded = jax.jit(jax.vmap(lambda seed: drawn(jax.random.key(seed))))
    kernels = seeded(np.array([0, 1], np.uint32))
    assert not np.array_equal(kernels[0], kernels[1])
    np.testing.assert_array_equal(kernels[0], jax.jit(lambda: drawn(0))())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(replacement_rate=2.0),
            r"^`replacement_rate` must be in \[0, 1\], got 2\.0\.$",
        ),
        (
            dict(utility_decay=1.0),
            r"^`utility_decay` must be in \[0, 1\), got 1\.0\.$",
        ),
        (dict(debias=1), r"^`debias` must be True or False, got 1\.$"),
        (dict(carry_mean=None), r"^`carry_mean` must be True or False, got None\.$"),
        (dict(maturity=-1), r"^`maturity` must be an integer >= 0, got -1\.$"),
        (dict(init=3), r"^`init` must be a function, got 3\.$"),
        (dict(key=-1), r"^`key` must be an integer >= 0, got -1\.$"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        neo.continual.continual_backprop(optax.sgd(0.1), LAYERS, **options)


def test_missing_activity():
    tx = neo.continual.continual_backprop(optax.sgd(0.1), LAYERS)
    state = jax.eval_shape(tx.init, PARAMS)
    message = (
        r"^`unit_activity` must be passed to update for continual_backprop, got None\.$"
    )
    with pytest.raises(ValueError, match=message):
        tx.update(PARAMS, state, PARAMS)
