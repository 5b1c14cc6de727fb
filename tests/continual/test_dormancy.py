"""Dormant units, and ReDo."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import layer_chains as chains
import neat_optax as neo
import properties
from layer_chains import (
    DEAD,
    FORWARD,
    LAYERS,
    inputs,
    silence,
    still,
    touched,
    train,
    with_dead_units,
)
from neat_optax.continual import dormant_fraction, dormant_units
from running import run

PARAMS = chains.dense_params()


def test_dormant_units_by_hand():
    activity = {"a": np.array([1.0, 0.1, 1.9], "f4"), "b": np.zeros(2, "f4")}
    flags, fewer, fraction = jax.jit(
        lambda x: (
            dormant_units(x, 0.1),
            dormant_units(x, 0.09),
            dormant_fraction(x, 0.1),
        )
    )(activity)
    assert flags["a"].tolist() == [False, True, False]
    assert flags["b"].tolist() == [True, True]
    assert float(fraction) == pytest.approx(3 / 5)
    assert fewer["a"].tolist() == [False, False, False]
    assert float(dormant_fraction({})) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_activities_that_are_not_finite_say_nothing(bad):
    activity = np.array([bad, 0.0, 1.0], "f4")
    assert not np.any(jax.jit(dormant_units)(activity))


def test_one_reset_by_hand():
    sevens = lambda key, shape, dtype: jnp.full(shape, 7.0, dtype)  # noqa: ARG005, E731
    tx = neo.continual.reset_dormant(
        optax.sgd(1.0), ("first", "head"), every=2, threshold=0.5, init=sevens
    )
    params = {
        "first": {
            "kernel": np.array([[1.0, 2.0, 3.0]], "f4"),
            "bias": np.arange(3, dtype="f4"),
        },
        "head": {
            "kernel": np.array([[4.0], [5.0], [6.0]], "f4"),
            "bias": np.ones(1, "f4"),
        },
    }
    grads = jax.tree.map(lambda p: np.ones((2, *p.shape), "f4"), params)
    # Sums are 3, 1 and 8, of mean 4: shares 0.75, 0.25 and 2.
    activity = {"first": np.array([[3, 0, 0], [0, 1, 8]], "f4")}
    _, after, state = run(tx, grads, params, unit_activity=activity)
    params = jax.tree.map(lambda p: p[-1].tolist(), after)
    assert params["first"] == {"kernel": [[-1.0, 7.0, 1.0]], "bias": [-2.0, 0.0, 0.0]}
    assert params["head"] == {"kernel": [[2.0], [0.0], [4.0]], "bias": [-1.0]}
    assert state.activity[0].tolist() == [0.0, 0.0, 0.0]


def test_dead_units_are_reset_and_nothing_else_moves():
    params = with_dead_units()
    optimizer = optax.adam(0.01)
    tx = neo.continual.reset_dormant(optimizer, LAYERS, every=3)
    visited = train(tx, params, 3)
    plain = train(optax.with_extra_args_support(optimizer), params, 3)
    properties.assert_trees_equal(visited[1][0], plain[1][0])
    marks = touched(DEAD, params)
    changed = jax.tree.map(lambda a, b: a != b, visited[2][0], plain[2][0])
    properties.assert_trees_equal(changed, marks)
    new = visited[2][0]
    assert new["first"]["bias"][[2, 5]].tolist() == [0.0, 0.0]
    assert np.all(new["second"]["kernel"][[2, 5], :] == 0)
    assert np.all(new["head"]["kernel"][1] == 0)
    fresh = new["first"]["kernel"][:, [2, 5]]
    assert np.all(fresh != 0)
    assert np.all(np.abs(fresh) < 3 / np.sqrt(3))


EACH_STEP = neo.continual.reset_dormant(optax.sgd(0.1), LAYERS, every=1)


@functools.cache
def compiled_reset():
    """One step without a gradient, from parameters and activities."""
    start = lambda params: (params, EACH_STEP.init(params))  # noqa: E731
    return jax.jit(
        lambda params, activity: chains.one_step(
            EACH_STEP, start(params), activity, still
        )[0]
    )


def test_a_reset_of_dead_units_leaves_the_output_unchanged():
    params = with_dead_units()
    before, activity = FORWARD(params, inputs())
    after, active = FORWARD(compiled_reset()(params, activity), inputs())
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    assert np.all(np.asarray(active["first"])[[2, 5]] > 0)


def test_a_reset_takes_away_a_units_own_contribution_alone():
    """An active unit that counts as dormant leaves a network without it."""
    params = silence(PARAMS, "first", 0)
    activity = {"first": np.ones(8, "f4"), "second": np.ones(6, "f4")}
    activity["first"][3] = 0
    new = compiled_reset()(params, activity)
    without = FORWARD(silence(params, "first", 3), inputs())[0]
    np.testing.assert_allclose(FORWARD(new, inputs())[0], without, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_flattened_convolutions_have_their_channels_last():
    rng = np.random.default_rng(3)
    draw = lambda *shape: rng.normal(size=shape).astype("f4")  # noqa: E731
    params = {
        "conv": {"kernel": draw(3, 3, 1, 4), "bias": draw(4)},
        "again": {"kernel": draw(3, 3, 4, 5), "bias": draw(5)},
        "dense": {"kernel": draw(5 * 9, 6), "bias": draw(6)},
    }
    activity = {"conv": np.array([1, 0, 1, 1], "f4"), "again": np.ones(5, "f4")}
    activity["again"][2] = 0
    tx = neo.continual.reset_dormant(
        optax.sgd(0.1), ("conv", "again", "dense"), every=1
    )

    @jax.jit
    def apply(params, x):
        for name in ("conv", "again"):
            x = jax.lax.conv_general_dilated(
                x,
                params[name]["kernel"],
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            x = jax.nn.relu(x + params[name]["bias"].reshape(1, 1, 1, -1))
        return x.reshape(len(x), -1) @ params["dense"]["kernel"]

    new = train(tx, params, 1, activity, still)[0][0]
    x = draw(2, 3, 3, 1)
    silenced = silence(silence(params, "conv", 1, -1e3), "again", 2, -1e5)
    np.testing.assert_allclose(apply(new, x), apply(silenced, x), rtol=1e-4, atol=1e-4)
    rows = new["dense"]["kernel"].reshape(9, 5, 6)
    assert np.all(rows[:, 2] == 0)
    assert np.all(rows[:, [0, 1, 3, 4]] != 0)
    assert np.all(new["again"]["kernel"][:, :, 1, :] == 0)


def test_a_period_with_a_bad_activity_resets_nothing():
    params = with_dead_units()
    tx = neo.continual.reset_dormant(optax.sgd(0.0), LAYERS, every=2)
    _, active = FORWARD(params, inputs())
    activity = jax.tree.map(lambda a: np.stack([a] * 4), active)
    activity["first"][0, 0] = np.nan

    def step(state, seen):
        updates, state = tx.update(params, state, params, unit_activity=seen)
        return state, updates

    play = lambda seen: jax.lax.scan(step, tx.init(params), seen)[1]  # noqa: E731
    updates = jax.device_get(jax.jit(play)(activity))
    moved = [np.any(updates["first"]["kernel"][step]) for step in range(4)]
    assert moved == [False, False, False, True]
    assert np.any(updates["second"]["kernel"][1])


@pytest.mark.slow
def test_the_key_decides_what_is_drawn():
    params = with_dead_units()
    numbers = np.array([0, 1], np.uint32)

    def drawn(key):
        tx = neo.continual.reset_dormant(optax.sgd(0.1), LAYERS, every=1, key=key)
        start = params, tx.init(params)
        return chains.one_step(tx, start, activity)[0]["first"]["kernel"]

    _, activity = FORWARD(params, inputs())
    many = jax.jit(jax.vmap(lambda n: drawn(jax.random.key(n))))
    seeded = np.asarray(many(numbers))
    assert not np.array_equal(seeded[0][:, 2], seeded[1][:, 2])
    np.testing.assert_array_equal(jax.jit(lambda: drawn(0))(), seeded[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(threshold=-0.1), r"^`threshold` must be in \[0, inf\), got -0\.1\.$"),
        (dict(every=0), r"^`every` must be an integer >= 1, got 0\.$"),
        (dict(init=3), r"^`init` must be a function, got 3\.$"),
        (dict(key=0.5), r"^`key` must be an integer, got 0\.5\.$"),
        (
            dict(layers=("head",)),
            r"^`layers` must be the paths of two layers or more, each once, in their "
            r"order, or a mapping from the path of each hidden layer to those that it "
            r"feeds, got \('head',\)\.$",
        ),
        (
            dict(layers="head"),
            r"^`layers` must be the paths of two layers or more, each once, in their "
            r"order, or a mapping from the path of each hidden layer to those that it "
            r"feeds, got 'head'\.$",
        ),
        (
            dict(layers={"trunk": []}),
            r"^`layers` must map the path of each hidden layer to one path or more, "
            r"got \[\] for 'trunk'\.$",
        ),
        (
            dict(layers={"left": "head", "right": "head"}),
            r"^`layers` must feed each layer from one other, whose units are all of "
            r"its inputs, got 'head' after 'left' and 'right'\.$",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        neo.continual.reset_dormant(
            optax.sgd(0.1), **{"layers": LAYERS, "every": 2, **options}
        )


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            ("first", "third"),
            r"^`layers` must be paths of layers with a kernel of two axes or more, got "
            r"'third' where the kernels are in first, head, second\.$",
        ),
        (
            ("first", "head"),
            r"^`layers` must be in the order in which they feed one another, got "
            r"'head' with a kernel of shape \(6, 2\) after 'first' with 8 units\.$",
        ),
    ],
)
def test_layers_that_do_not_fit(layers, message):
    with pytest.raises(ValueError, match=message):
        neo.continual.reset_dormant(optax.sgd(0.1), layers).init(PARAMS)


@pytest.mark.parametrize(
    ("activity", "message"),
    [
        (
            None,
            r"^`unit_activity` must be passed to update for reset_dormant, got None\.$",
        ),
        (
            [1.0],
            r"^`unit_activity` must be a mapping from the paths of layers to arrays "
            r"\[units\], got list\.$",
        ),
        (
            {"first": np.ones(8)},
            r"^`unit_activity` must have an entry for the layer 'second', got entries "
            r"for first\.$",
        ),
        (
            {"first": np.ones(8), "second": np.ones((1, 6))},
            r"^`unit_activity` must have one number for each of the 6 units of "
            r"'second', got shape \(1, 6\)\.$",
        ),
    ],
)
def test_bad_activity(activity, message):
    tx = neo.continual.reset_dormant(optax.sgd(0.1), LAYERS)
    state = jax.eval_shape(tx.init, PARAMS)
    with pytest.raises(ValueError, match=message):
        tx.update(PARAMS, state, PARAMS, unit_activity=activity)
