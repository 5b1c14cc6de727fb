"""Whether the applied update harms a player."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import running
from neat_optax import aggregators
from properties import assert_same_types, assert_trees_equal

OPPOSED = np.float32([[1.0, 0.0], [-1.0, 0.1]])


def watch(inner, num_players=2):
    return neo.monitor_update_conflict(inner, num_players=num_players)


def play(tx, steps, **extra):
    """Diagnostics after every step."""

    @jax.jit
    def run(steps):
        def body(state, g):
            params = jnp.zeros_like(g[0])
            _, state = tx.update(g, state, params, **extra)
            return state, neo.diagnostics(state)

        return jax.lax.scan(body, tx.init(steps[0, 0]), steps)[1]

    found = jax.tree.map(np.asarray, run(np.stack(steps)))
    return [jax.tree.map(lambda x, t=t: x[t], found) for t in range(len(steps))]


def constant(direction):
    """An optimizer whose update is always the same."""
    return optax.stateless(lambda *_: -jnp.asarray(direction))


def test_by_hand():
    """Descent along (3, 4) against (1, 0), (0, -1) and (-3, -4)."""
    g = np.float32([[1.0, 0.0], [0.0, -1.0], [-3.0, -4.0]])
    (found,) = play(watch(constant([3.0, 4.0]), 3), [g])
    expected = [0.6, -0.8, -1.0]
    np.testing.assert_allclose(found["update_cosines"].latest, expected, rtol=1e-6)
    np.testing.assert_allclose(found["update_conflict"].latest, 1.0, rtol=1e-6)
    np.testing.assert_allclose(found["harmed"].latest, 2 / 3, rtol=1e-6)


def test_the_mean_is_over_all_steps():
    g = np.float32([[1.0, 0.0], [0.0, 1.0]])
    _, found = play(watch(constant([1.0, 0.0])), [g, -g])
    np.testing.assert_allclose(found["update_conflict"].mean, 0.5, rtol=1e-6)
    np.testing.assert_allclose(found["harmed"].mean, 0.25, rtol=1e-6)
    np.testing.assert_allclose(found["update_cosines"].mean, [0.0, 0.0], atol=1e-6)


@pytest.mark.slow
def test_upgrad_and_plain_descent_harm_nobody():
    tx = watch(optax.chain(aggregators.upgrad(), optax.sgd(0.1)))
    for found in play(tx, [OPPOSED, OPPOSED[::-1], OPPOSED * 100]):
        assert found["update_conflict"].latest <= 1e-5
        assert np.all(found["update_cosines"].latest >= -1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [optax.sgd(0.1, momentum=0.9), optax.adam(0.1)],
    ids=["momentum", "adam"],
)
def test_what_follows_an_aggregator_can_harm_a_player(optimizer):
    """Both agree on a direction first, and player 1 turns against it then.

    The momentum still points where both wanted to go.
    """
    agreed = np.float32([[1.0, 0.2], [1.0, 0.2]])
    turned = np.float32([[1.0, 0.2], [-1.0, 0.2]])
    tx = watch(optax.chain(aggregators.mean(), optimizer))
    first, last = play(tx, [agreed, turned])
    assert first["update_conflict"].latest == 0.0
    assert last["update_conflict"].latest > 0.3
    assert last["harmed"].latest == 0.5
    assert last["update_cosines"].latest[0] > 0 > last["update_cosines"].latest[1]


def test_a_preconditioner_alone_can_harm_a_player():
    """The mean (1, 1/2) harms nobody; of its entries, this division leaves the signs.

    The direction (1, 1) is against the player (1, -2).
    """
    g = np.float32([[1.0, -2.0], [1.0, 3.0]])
    plain = optax.chain(aggregators.mean(), optax.sgd(1.0))
    signs = optax.chain(aggregators.mean(), optax.rmsprop(1.0, decay=0.0))
    assert play(watch(plain), [g])[0]["update_conflict"].latest <= 1e-6
    found = play(watch(signs), [g])[0]
    np.testing.assert_allclose(
        found["update_cosines"].latest, [-np.sqrt(0.1), np.sqrt(0.8)], rtol=1e-4
    )


def test_updates_are_handed_on_unchanged():
    inner = optax.chain(aggregators.mean(), optax.adam(0.1))
    tx, params = watch(inner), np.zeros(2, np.float32)
    plain, _, _ = running.run(inner, OPPOSED[None], params)
    watched, _, after = running.run(tx, OPPOSED[None], params)
    assert_trees_equal(watched, plain)
    assert_same_types(after, jax.eval_shape(tx.init, params))


def first_state(tx, gradients):
    """The state after one step."""

    @running.quick_jit
    def step(gradients):
        params = jax.tree.map(lambda x: jnp.zeros_like(x[0]), gradients)
        return tx.update(gradients, tx.init(params))[1]

    return step(gradients)


def test_cosines_are_those_of_the_whole_tree():
    g = {"a": np.float32([[3], [0]]), "b": np.float32([[4], [-1]])}
    along_b = {"a": np.float32([0]), "b": np.float32([-1])}
    tx = neo.monitor_update_conflict(optax.stateless(lambda *_: along_b), num_players=2)
    state = first_state(tx, g)
    cosines = neo.diagnostics(state)["update_cosines"].latest
    np.testing.assert_allclose(cosines, [0.8, -1.0], rtol=1e-6)


def test_players_without_a_direction_are_not_harmed():
    """A gradient of zero, and one that is not finite."""
    steps = [np.stack([OPPOSED[0], row]) for row in np.float32([[0, 0], [np.nan, 1]])]
    for found in play(watch(constant([-1.0, 0.0])), steps):
        cosines = found["update_cosines"].latest
        np.testing.assert_allclose(cosines, [-1.0, 0.0], rtol=1e-6)


def test_absent_players_are_not_harmed():
    tx = watch(constant([1.0, 0.0]))
    (found,) = play(tx, [OPPOSED], present=np.array([True, False]))
    np.testing.assert_allclose(found["update_cosines"].latest, [1.0, 0.0], rtol=1e-6)
    assert found["harmed"].latest == 0.0


def test_complex_leaves_and_low_precision():
    turn = optax.stateless(lambda *_: np.complex64([-1j]))
    tx = neo.monitor_update_conflict(turn, num_players=2)
    state = first_state(tx, np.complex64([[1 + 1j], [-1j]]))
    cosines = neo.diagnostics(state)["update_cosines"].latest
    np.testing.assert_allclose(cosines, [np.sqrt(0.5), -1.0], rtol=1e-6)
    low = OPPOSED.astype(jnp.bfloat16)
    tx = neo.monitor_update_conflict(aggregators.mean(), num_players=2)
    state = jax.eval_shape(tx.init, low[0])
    assert_same_types(jax.eval_shape(tx.update, low, state)[1], state)


def test_nothing_to_update():
    tx = neo.monitor_update_conflict(aggregators.mean(), num_players=2)
    update, state = tx.update({}, tx.init({}))
    assert update == {}
    assert_same_types(state, tx.init({}))


def test_bad_arguments():
    for bad in (0, 1.5):
        with pytest.raises(ValueError, match=r"^`num_players` must be an integer >= 1"):
            neo.monitor_update_conflict(optax.sgd(0.1), num_players=bad)
    with pytest.raises(ValueError, match="must have 3 players, as `num_players` says"):
        play(watch(aggregators.mean(), 3), [OPPOSED])
