"""CartPole next to Gymnasium's, from the same states with the same actions."""

import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax.experiments.runs import cartpole


@functools.cache
def make_original():
    return gymnasium.make("CartPole-v1").unwrapped


def original_step(state, action):
    """Next state, in float64, and whether that one is terminal."""
    env = make_original()
    env.reset()
    env.state = np.asarray(state, np.float64)
    _, reward, terminated, truncated, _ = env.step(int(action))
    assert reward == 1
    assert not truncated
    return np.asarray(env.state), terminated


def original_episode(start, choose):
    """All states in float64, and actions, until the end."""
    env = make_original()
    env.reset()
    env.state = np.asarray(start, np.float64)
    states, actions, terminated = [env.state], [], False
    while not terminated and len(actions) < 500:
        actions.append(choose(env.state))
        _, _, terminated, _, _ = env.step(actions[-1])
        states.append(env.state)
    return np.asarray(states), np.asarray(actions)


def keep_upright(state):
    """A policy that never falls from the usual starts."""
    return int(0.1 * state[0] + 0.2 * state[1] + state[2] + state[3] > 0)


def careless(random, share=0.1):
    return lambda s: keep_upright(s) if random.random() > share else random.integers(2)


UPRIGHT = np.float32([0.1, 0.2, 1.0, 1.0])
step_each = jax.jit(jax.vmap(cartpole.step))
fallen_each = jax.jit(jax.vmap(cartpole.fallen))
reset_each = jax.jit(jax.vmap(cartpole.reset))


def act(state):
    return jnp.dot(UPRIGHT, state) > 0


@jax.jit
def rollout(start, actions):
    return jax.lax.scan(lambda s, a: (cartpole.step(s, a),) * 2, start, actions)[1]


def played(start, actions):
    """States after each of at most 500 actions: one compiled function for all."""
    padded = np.zeros(500, np.int32)
    padded[: len(actions)] = actions
    states = rollout(start, padded)
    return np.asarray(states), np.asarray(fallen_each(states))


@jax.jit
def of_one_action(action, key):
    return cartpole.episode(lambda _: action, key)


@functools.partial(jax.jit, static_argnums=1)
def of_weights(weights, num_steps=500):
    return cartpole.episode(
        lambda s: jnp.dot(weights, s) > 0, jax.random.key(0), num_steps=num_steps
    )


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def test_steps_from_any_state():
    random = np.random.default_rng(0)
    wide = np.array([3.0, 4.0, 0.3, 4.0])
    states = random.uniform(-wide, wide, (5000, 4)).astype(np.float32)
    actions = random.integers(2, size=5000)
    found = step_each(states, actions)
    ends = fallen_each(found)
    pairs = zip(states, actions, strict=True)
    expected, expected_ends = zip(*[original_step(s, a) for s, a in pairs], strict=True)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(ends, expected_ends)
    assert 0.2 < np.mean(expected_ends) < 0.8  # both occur


@pytest.mark.parametrize("seed", range(5))
def test_long_episodes_with_random_actions(seed):
    """Each step from the original's state; then all of them from the first state."""
    random = np.random.default_rng(seed)
    start = random.uniform(-0.05, 0.05, 4).astype(np.float32)
    expected, actions = original_episode(start, careless(random))
    assert len(actions) == 500
    each = step_each(np.float32(expected[:-1]), actions)
    np.testing.assert_allclose(each, expected[1:], rtol=1e-6, atol=1e-6)
    steps, _ = played(start, actions)
    np.testing.assert_allclose(steps[:50], expected[1:51], rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_random_actions_end_where_the_original_ends(seed):
    random = np.random.default_rng(seed)
    start = random.uniform(-0.05, 0.05, 4).astype(np.float32)
    states, actions = original_episode(start, lambda _: random.integers(2))
    assert len(actions) < 200
    found, ends = played(start, actions)
    last = len(actions) - 1
    assert ends[last]
    assert not ends[:last].any()
    np.testing.assert_allclose(found[: last + 1], states[1:], rtol=0, atol=1e-4)


def test_episodes_return_what_the_original_returns():
    """Policies of one action end soon; their return counts the step of the fall."""
    for key in keys(5):
        start = np.asarray(jax.jit(cartpole.reset)(key))
        for action in (0, 1):
            _, actions = original_episode(start, lambda _, a=action: a)
            found = of_one_action(action, key)
            assert found == len(actions)
            assert found.dtype == np.float32


def test_a_seed_is_a_key():
    assert cartpole.episode(lambda _: 1, 3) == of_one_action(1, jax.random.key(3))


def test_a_good_policy_stays_for_all_steps():
    assert of_weights(UPRIGHT) == 500
    assert of_weights(UPRIGHT, 70) == 70


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ((2.39, 0, 0, 0), False),
        ((2.41, 0, 0, 0), True),
        ((-2.41, 0, 0, 0), True),
        ((0, 9, 0.2094, 9), False),
        ((0, 0, 0.2095, 0), True),
        ((0, 0, -0.2095, 0), True),
    ],
)
def test_limits(state, expected):
    assert cartpole.fallen(np.float32(state)) == expected


def test_starts_are_those_of_the_original():
    """Uniform in [-0.05, 0.05), in all four numbers."""
    starts = np.asarray(reset_each(keys(4000)))
    assert starts.shape == (4000, 4)
    assert np.abs(starts).max() <= 0.05
    np.testing.assert_allclose(starts.mean(axis=0), 0, atol=0.002)
    np.testing.assert_allclose(starts.std(axis=0), 0.05 / np.sqrt(3), rtol=0.03)


def test_episodes_are_those_of_their_keys():
    episodes = jax.jit(lambda key: cartpole.episodes(lambda _: 1, key, 6))
    found = episodes(jax.random.key(3))
    expected = [of_one_action(1, key) for key in keys(6, 3)]
    np.testing.assert_array_equal(found, expected)
    assert len(set(found.tolist())) > 1  # starts differ


def test_episodes_of_different_lengths_under_vmap_and_jit():
    """A finished episode is not moved on while others last."""
    weights = np.float32([UPRIGHT, [0, 0, 1, 0], [0, 0, -1, 0]])
    found = jax.jit(jax.vmap(of_weights))(weights)
    np.testing.assert_array_equal(found, [of_weights(w) for w in weights])
    assert found[0] == 500
    assert found[2] < found[1] < 500


def test_a_record_holds_the_episode_and_repeats_its_end():
    key = jax.random.key(0)
    states, total = jax.jit(lambda key: cartpole.record(lambda _: 1, key))(key)
    states = np.asarray(states)
    assert states.shape == (501, 4)
    assert total == of_one_action(1, key)
    count = int(total)
    np.testing.assert_array_equal(states[0], jax.jit(cartpole.reset)(key))
    ends = np.asarray(fallen_each(states))
    assert not ends[:count].any()
    assert ends[count:].all()
    np.testing.assert_array_equal(*np.broadcast_arrays(states[count:], states[count]))


def test_a_record_of_a_good_policy_is_whole():
    states, total = jax.jit(lambda key: cartpole.record(act, key))(jax.random.key(0))
    states = np.asarray(states)
    assert total == 500
    found = jax.jit(jax.vmap(lambda s: cartpole.step(s, act(s))))(states[:-1])
    np.testing.assert_allclose(found, states[1:], rtol=1e-6, atol=1e-6)
