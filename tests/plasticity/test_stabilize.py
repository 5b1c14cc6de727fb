"""The norm clip and the gains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import properties
from neat_optax.plasticity import homeostatic, memoryless
from oracle import plasticity as oracle
from running import run

SEEDS = st.integers(0, 2**32 - 1)


def float32s(*entries):
    return np.array(entries, np.float32)


def once(tx, update):
    return jax.jit(lambda u: tx.update(u, tx.init(u)))(update)


def test_clip_leaf_norm():
    u = {"long": float32s(3, 4), "short": float32s(0.25)}
    out, _ = once(neo.plasticity.clip_leaf_norm(1.0), u)
    np.testing.assert_allclose(out["long"], [0.6, 0.8], rtol=1e-6)
    assert out["short"].item() == 0.25


@jax.jit
def gains(sizes, rate):
    """The gains of updates of the given root mean squares."""
    tx = neo.plasticity.stabilize(0.5, rate, minimum=0.01, maximum=50.0)

    def step(state, size):
        _, state = tx.update(jnp.full(3, size), state)
        return state, state.gain[0]

    return jax.lax.scan(step, tx.init(jnp.zeros(3)), sizes)[1]


@given(SEEDS, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_gains_agree_with_the_oracle(seed, rate):
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-4, 4, size=6) * (rng.uniform(size=6) < 0.8)
    found = gains(sizes.astype(np.float32), np.float32(rate))
    expected = oracle.gains(list(sizes), 0.5, rate, 0.01, 50.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


NEAR = neo.plasticity.stabilize(0.02, 0.3, minimum=1e-6, maximum=1e6)


@given(SEEDS)
def test_the_size_reaches_the_target_whatever_the_scale(seed):
    """From a distance of at most 1e3 and some, 0.7^60 is below 1e-9."""
    rng = np.random.default_rng(seed)
    u = (10.0 ** rng.uniform(-2, 2) * rng.normal(size=8)).astype(np.float32)
    updates, _, _ = run(NEAR, np.stack([u] * 60), u, move=False)
    np.testing.assert_allclose(np.sqrt(np.mean(updates[-1] ** 2)), 0.02, rtol=1e-4)


def test_memoryless_has_no_state_and_does_not_reach_it():
    tx = neo.plasticity.stabilize(0.02, 0.01, rule=memoryless, minimum=0.5, maximum=1.5)
    ones = np.ones((3, 4), np.float32)
    out, _, state = run(tx, ones, ones[0], move=False)
    assert state.gain == ()
    np.testing.assert_allclose(out, np.full((3, 4), 1 + 0.01 * (0.02 - 1)), rtol=1e-6)


def test_scopes_share_one_gain():
    u = {"a": float32s(3), "b": float32s(4)}
    tx = neo.plasticity.stabilize(1.0, 1.0, scope=neo.whole_tree)
    out, state = once(tx, u)
    assert state.gain.shape == (1,)
    np.testing.assert_allclose(out["a"] / out["b"], 0.75, rtol=1e-6)
    np.testing.assert_allclose((out["a"] ** 2 + out["b"] ** 2) / 2, 1.0, rtol=1e-5)


def test_what_is_zero_or_not_finite_keeps_the_gain():
    step = jax.jit(neo.plasticity.stabilize(1.0, 1.0).update)
    state = neo.plasticity.stabilize(1.0, 1.0).init(float32s(1, 1))
    _, state = step(float32s(4, 4), state)
    for bad in (float32s(0, 0), float32s(1, np.nan), float32s(np.inf, 1)):
        out, after = step(bad, state)
        assert out.tolist() == [0, 0]
        properties.assert_trees_equal(after.gain, state.gain)


def test_records_of_the_clip():
    u = {
        "bad": float32s(np.inf),
        "long": float32s(3, 4),
        "short": float32s(1),
    }
    tx = neo.plasticity.clip_leaf_norm(2.0, monitor=True)
    _, state = once(tx, u)
    found = neo.diagnostics(state, u)
    assert found.keys() == {"unclipped_norm", "clipped"}
    assert found["unclipped_norm"].per_leaf == {"bad": 0, "long": 5, "short": 1}
    assert found["clipped"].per_leaf == {"bad": 0, "long": 1, "short": 0}
    np.testing.assert_allclose(found["clipped"].latest, 2 / 4)


@pytest.mark.parametrize("rule", [homeostatic, memoryless], ids=repr)
def test_records_of_the_gains(rule):
    """Sizes 4 and 1; halfway to 1 the gain is a half, and nudged it is 1 - 1.5."""
    u = {"a": np.full((2, 2), -4, "f4"), "b": float32s(1), "bad": float32s(np.nan)}
    tx = neo.plasticity.stabilize(1.0, 0.5, rule=rule, minimum=0.25, monitor=True)
    _, state = once(tx, u)
    found = neo.diagnostics(state, u)
    gain = 0.5 if rule is homeostatic else 0.25
    expected = dict(
        stabilizer_gain=dict(a=gain, b=1.0, bad=1.0),
        rms_before=dict(a=4.0, b=1.0, bad=0.0),
        rms_after=dict(a=4.0 * gain, b=1.0, bad=0.0),
    )
    assert found.keys() == expected.keys()
    for name, by_path in expected.items():
        for path, value in by_path.items():
            np.testing.assert_allclose(found[name].per_leaf[path], value, rtol=1e-6)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`max_norm` must be in \(0, inf\), got 0"):
        neo.plasticity.clip_leaf_norm(0)
    with pytest.raises(ValueError, match=r"`target_rms` must be in \(0, inf\)"):
        neo.plasticity.stabilize(0.0)
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\], got 2"):
        neo.plasticity.stabilize(rate=2)
    with pytest.raises(ValueError, match=r"`rule` must be of type GainRule"):
        neo.plasticity.stabilize(rule=0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`monitor` must be True or False, got None"):
        neo.plasticity.clip_leaf_norm(monitor=None)  # pyright: ignore[reportArgumentType]
    assert repr(homeostatic) == "<gain rule homeostatic>"
