import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import stepping
from neat_optax.aggregators._per_player import per_player
from properties import assert_same_types, assert_trees_close, assert_trees_equal
from stepping import COUNT, EVERYONE, gradients, like, plain, replace

PARAMS = like(gradients())
INNER = {
    "clip_by_global_norm": optax.clip_by_global_norm(1.0),
    "ema": optax.ema(0.9),
    "trace": optax.trace(0.9, nesterov=True),
    "scale_by_adam": optax.scale_by_adam(),
    "normalize_by_update_norm": optax.normalize_by_update_norm(),
    "chain": optax.chain(optax.clip(0.5), optax.add_decayed_weights(0.1)),
}


@functools.cache
def built(name):
    return per_player(INNER[name], num_players=COUNT)


def player(tree, index):
    return jax.tree.map(lambda x: np.asarray(x)[index], tree)


def first(tree):
    return jax.tree.map(lambda x: x[0], tree)


@pytest.mark.parametrize("name", INNER)
def test_equals_a_loop_over_players(name):
    inner, tx = INNER[name], built(name)
    state, apply = tx.init(PARAMS), jax.jit(inner.update)
    alone = [inner.init(PARAMS) for _ in range(COUNT)]
    for seed in range(3):
        g = gradients(seed)
        update, new_state = stepping.step(tx, g, state, present=EVERYONE)
        assert_same_types(new_state, state)
        assert_same_types(update, g)
        state = new_state
        for i in range(COUNT):
            expected, alone[i] = apply(player(g, i), alone[i], PARAMS)
            assert_trees_close(player(update, i), expected, rtol=1e-5)
            assert_trees_close(player(state, i), alone[i], rtol=1e-5)


@pytest.mark.parametrize("name", INNER)
def test_absent_and_bad_players_pass_and_are_not_remembered(name):
    tx, some = built(name), EVERYONE & [True, True, False]
    g = replace(replace(gradients(0), 1, np.nan), 2, 5.0)
    _, before = stepping.play(tx, [gradients(1)], present=[EVERYONE])
    update, after = stepping.step(tx, g, before, present=some)
    for i in (1, 2):
        assert_trees_equal(player(update, i), player(g, i))
        assert_trees_equal(player(after, i), player(before, i))
    whole, kept = stepping.step(tx, gradients(0), before, present=EVERYONE)
    assert_trees_equal(player(update, 0), player(whole, 0))
    assert_trees_equal(player(after, 0), player(kept, 0))


def test_dtypes_stay_and_scan_works():
    tx = per_player(optax.ema(0.5, accumulator_dtype=jnp.float32), num_players=COUNT)
    low = lambda tree: jax.tree.map(lambda x: x.astype(jnp.bfloat16), tree)  # noqa: E731
    params, g = low(PARAMS), low(gradients())

    def body(state, _):
        update, state = tx.update(g, state, params)
        return state, update

    state = jax.eval_shape(tx.init, params)
    last, updates = jax.eval_shape(lambda s: jax.lax.scan(body, s, length=2), state)
    assert_same_types(last, state)
    assert_same_types(jax.eval_shape(first, updates), g)


def test_each_player_draws_its_own_noise():
    tx = per_player(optax.add_noise(1.0, 0.0, key=0), num_players=2)
    g = np.zeros((2, 4), np.float32)
    update, state = stepping.step(tx, g)
    assert not np.allclose(update[0], update[1])
    assert_same_types(plain(state), plain(tx.init(g[0])))


def test_works_on_empty_none_and_complex_trees():
    tx = per_player(optax.ema(0.9), num_players=2)
    assert tx.update({}, tx.init({}))[0] == {}
    g = {"a": None, "b": np.full((2, 2), 1j, np.complex64)}
    update, _ = stepping.step(tx, g)
    assert_trees_close(update, g)


def test_state_can_be_made_without_values_and_mapped():
    tx = per_player(optax.scale_by_adam(), num_players=2)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), PARAMS)
    state = tx.init(shapes)
    assert_same_types(state, tx.init(PARAMS))
    doubled = optax.tree.map_params(tx, lambda x: np.asarray(x) + 1, state)
    assert doubled.mu["b"][1, 1] == 1 and np.asarray(doubled.count)[1] == 0


def test_extra_arguments_reach_the_inner_transformation():
    def update_fn(updates, state, params=None, *, factor, **extra_args):
        assert "present" not in extra_args and params is not None
        return jax.tree.map(lambda x: factor * x, updates), state

    inner = optax.GradientTransformationExtraArgs(lambda _: (), update_fn)
    tx = per_player(inner, num_players=2)
    g, present = np.ones((2, 3), np.float32), np.ones(2, bool)
    update, _ = stepping.step(tx, g, factor=3.0, present=present)
    np.testing.assert_array_equal(update, 3 * np.ones((2, 3)))


def test_errors():
    g = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"`num_players` must be an integer >= 1"):
        per_player(optax.ema(0.9), num_players=0)
    with pytest.raises(ValueError, match=r"`tx` must be of type GradientTransf"):
        per_player(optax.ema, num_players=2)  # pyright: ignore
    tx = per_player(optax.ema(0.9), num_players=3)
    sentence = r"must have 3 players, as `num_players` says, got 2\."
    with pytest.raises(ValueError, match=sentence):
        tx.update(g, tx.init(g[0]))
    with pytest.raises(ValueError, match=r"`present` must have one entry for each"):
        per_player(optax.identity(), num_players=2).update(
            g, (), present=np.ones(3, bool)
        )
    shorten = optax.stateless(lambda u, _: jax.tree.map(lambda x: x[:1], u))
    with pytest.raises(ValueError, match=r"`updates of tx` must have the shapes"):
        per_player(shorten, num_players=2).update(g, optax.EmptyState())
