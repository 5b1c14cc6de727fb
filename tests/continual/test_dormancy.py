"""Dormant units, and ReDo."""

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
    LAYERS,
    forward,
    inputs,
    silence,
    touched,
    train,
    with_dead_units,
)
from neat_optax.continual import dormant_fraction, dormant_units

PARAMS = chains.dense_params()


def test_dormant_units_by_hand():
    activity = {"a": jnp.array([1.0, 0.1, 1.9]), "b": jnp.zeros(2)}
    flags = dormant_units(activity, 0.1)
    assert flags["a"].tolist() == [False, True, False]
    assert flags["b"].tolist() == [True, True]
    assert float(dormant_fraction(activity, 0.1)) == pytest.approx(3 / 5)
    assert dormant_units(activity, 0.09)["a"].tolist() == [False, False, False]
    assert float(dormant_fraction({})) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_activities_that_are_not_finite_say_nothing(bad):
    assert not np.any(dormant_units(jnp.array([bad, 0.0, 1.0])))


def test_one_reset_by_hand():
    ones = lambda key, shape, dtype: jnp.full(shape, 7.0, dtype)  # noqa: ARG005, E731
    tx = neo.continual.reset_dormant(
        optax.sgd(1.0), ("first", "head"), every=2, threshold=0.5, init=ones
    )
    params = {
        "first": {"kernel": jnp.array([[1.0, 2.0, 3.0]]), "bias": jnp.arange(3.0)},
        "head": {"kernel": jnp.array([[4.0], [5.0], [6.0]]), "bias": jnp.ones(1)},
    }
    state = tx.init(params)
    grads = jax.tree.map(jnp.ones_like, params)
    # Sums are 3, 1 and 8, of mean 4: shares 0.75, 0.25 and 2.
    for active in ([3.0, 0.0, 0.0], [0.0, 1.0, 8.0]):
        activity = {"first": jnp.array(active)}
        updates, state = tx.update(grads, state, params, activity=activity)
        params = optax.apply_updates(params, updates)
    assert params["first"]["kernel"].tolist() == [[-1.0, 7.0, 1.0]]
    assert params["first"]["bias"].tolist() == [-2.0, 0.0, 0.0]
    assert params["head"]["kernel"].tolist() == [[2.0], [0.0], [4.0]]
    assert params["head"]["bias"].tolist() == [-1.0]
    assert state.activity[0].tolist() == [0.0, 0.0, 0.0]


def test_dead_units_start_afresh_and_nothing_else_moves():
    params = with_dead_units()
    optimizer = optax.adam(0.01)
    tx = neo.continual.reset_dormant(optimizer, LAYERS, every=3)
    visited = train(tx, params, 3)
    plain = train(optax.with_extra_args_support(optimizer), params, 3)
    properties.assert_trees_equal(visited[1][0], plain[1][0])
    marks = touched(DEAD, params)
    changed = jax.tree.map(lambda a, b: np.asarray(a != b), visited[2][0], plain[2][0])
    properties.assert_trees_equal(changed, marks)
    new = visited[2][0]
    assert new["first"]["bias"][jnp.array([2, 5])].tolist() == [0.0, 0.0]
    assert np.all(np.asarray(new["second"]["kernel"])[[2, 5], :] == 0)
    assert np.all(np.asarray(new["head"]["kernel"])[1] == 0)
    fresh = np.asarray(new["first"]["kernel"])[:, [2, 5]]
    assert np.all(fresh != 0)
    assert np.all(np.abs(fresh) < 3 / np.sqrt(3))


def test_a_reset_of_dead_units_leaves_the_output_unchanged():
    params = with_dead_units()
    still = lambda p: jax.tree.map(jnp.zeros_like, p)  # noqa: E731
    tx = neo.continual.reset_dormant(optax.sgd(0.1), LAYERS, every=1)
    new, _ = train(tx, params, 1, grads=still)[0]
    before, after = forward(params, inputs())[0], forward(new, inputs())[0]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    active = forward(new, inputs())[1]["first"]
    assert np.all(np.asarray(active)[[2, 5]] > 0)


def test_a_reset_takes_away_a_units_own_contribution_alone():
    """An active unit that counts as dormant leaves a network without it."""
    params = silence(PARAMS, "first", 0)
    activity = {
        "first": jnp.ones(8).at[3].set(0.0),
        "second": jnp.ones(6),
    }
    still = lambda p: jax.tree.map(jnp.zeros_like, p)  # noqa: E731
    tx = neo.continual.reset_dormant(optax.sgd(0.1), LAYERS, every=1)
    new, _ = train(tx, params, 1, activity=activity, grads=still)[0]
    without = forward(silence(params, "first", 3), inputs())[0]
    np.testing.assert_allclose(forward(new, inputs())[0], without, rtol=1e-5, atol=1e-6)


def test_flattened_convolutions_have_their_channels_last():
    rng = np.random.default_rng(3)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    params = {
        "conv": {"kernel": draw(3, 3, 1, 4), "bias": draw(4)},
        "again": {"kernel": draw(3, 3, 4, 5), "bias": draw(5)},
        "dense": {"kernel": draw(5 * 9, 6), "bias": draw(6)},
    }

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

    activity = {"conv": jnp.array([1, 0, 1, 1.0]), "again": jnp.ones(5).at[2].set(0)}
    tx = neo.continual.reset_dormant(
        optax.sgd(0.1), ("conv", "again", "dense"), every=1
    )
    still = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(still, tx.init(params), params, activity=activity)
    new = optax.apply_updates(params, updates)
    x = draw(2, 3, 3, 1)
    silenced = jax.tree.map(lambda p: p, params)
    silenced["conv"]["bias"] = params["conv"]["bias"].at[1].set(-1e3)
    silenced["again"]["bias"] = params["again"]["bias"].at[2].set(-1e5)
    np.testing.assert_allclose(apply(new, x), apply(silenced, x), rtol=1e-4, atol=1e-4)
    rows = np.asarray(new["dense"]["kernel"]).reshape(9, 5, 6)
    assert np.all(rows[:, 2] == 0)
    assert np.all(rows[:, [0, 1, 3, 4]] != 0)
    assert np.all(np.asarray(new["again"]["kernel"])[:, :, 1, :] == 0)


def test_a_period_with_a_bad_activity_resets_nothing():
    params = with_dead_units()
    tx = neo.continual.reset_dormant(optax.sgd(0.0), LAYERS, every=2)
    state = tx.init(params)
    for step in range(4):
        activity = forward(params, inputs())[1]
        if step == 0:
            activity["first"] = activity["first"].at[0].set(jnp.nan)
        updates, state = tx.update(
            chains.sines(params), state, params, activity=activity
        )
        moved = np.any(np.asarray(updates["first"]["kernel"]))
        assert moved == (step == 3)
        if step == 1:
            assert np.any(np.asarray(updates["second"]["kernel"]))


def test_the_key_decides_what_is_drawn():
    params = with_dead_units()
    kernels = [
        np.asarray(
            train(
                neo.continual.reset_dormant(optax.sgd(0.1), LAYERS, every=1, key=key),
                params,
                1,
            )[0][0]["first"]["kernel"]
        )
        for key in (0, 1, jax.random.key(0))
    ]
    assert not np.array_equal(kernels[0][:, 2], kernels[1][:, 2])
    np.testing.assert_array_equal(kernels[0], kernels[2])


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
            r"order, got \('head',\)\.$",
        ),
        (
            dict(layers="head"),
            r"^`layers` must be the paths of two layers or more, each once, in their "
            r"order, got 'head'\.$",
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
        (None, r"^`activity` must be passed to update for reset_dormant, got None\.$"),
        (
            [1.0],
            r"^`activity` must be a mapping from the paths of layers to arrays "
            r"\[units\], got list\.$",
        ),
        (
            {"first": jnp.ones(8)},
            r"^`activity` must have an entry for the layer 'second', got entries for "
            r"first\.$",
        ),
        (
            {"first": jnp.ones(8), "second": jnp.ones((1, 6))},
            r"^`activity` must have one number for each of the 6 units of 'second', "
            r"got shape \(1, 6\)\.$",
        ),
    ],
)
def test_bad_activity(activity, message):
    tx = neo.continual.reset_dormant(optax.sgd(0.1), LAYERS)
    with pytest.raises(ValueError, match=message):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS, activity=activity)
