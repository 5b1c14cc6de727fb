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

SEEDS = st.integers(0, 2**32 - 1)


def test_clip_leaf_norm():
    u = {"long": jnp.array([3.0, 4.0]), "short": jnp.array([0.25])}
    tx = neo.plasticity.clip_leaf_norm(1.0)
    out, _ = tx.update(u, tx.init(u))
    np.testing.assert_allclose(out["long"], [0.6, 0.8], rtol=1e-6)
    assert out["short"].item() == 0.25


@given(SEEDS, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_gains_agree_with_the_oracle(seed, rate):
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-4, 4, size=6) * (rng.uniform(size=6) < 0.8)
    tx = neo.plasticity.stabilize(0.5, rate, minimum=0.01, maximum=50.0)
    state, found = tx.init(jnp.zeros(3)), []
    for size in sizes:
        _, state = tx.update(jnp.full(3, size, jnp.float32), state)
        found.append(state.gain[0])
    expected = oracle.gains(list(sizes), 0.5, rate, 0.01, 50.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@given(SEEDS)
def test_the_size_reaches_the_target_whatever_the_scale(seed):
    """From a distance of at most 1e3 and some, 0.7^60 is below 1e-9."""
    rng = np.random.default_rng(seed)
    u = jnp.asarray(10.0 ** rng.uniform(-2, 2) * rng.normal(size=8), jnp.float32)
    tx = neo.plasticity.stabilize(0.02, 0.3, minimum=1e-6, maximum=1e6)
    state, step = tx.init(u), jax.jit(tx.update)
    for _ in range(60):
        out, state = step(u, state)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(out**2)), 0.02, rtol=1e-4)


def test_memoryless_has_no_state_and_does_not_reach_it():
    u = jnp.full(4, 1.0)
    tx = neo.plasticity.stabilize(0.02, 0.01, rule=memoryless, minimum=0.5, maximum=1.5)
    state = tx.init(u)
    assert state.gain == ()
    for _ in range(3):
        out, state = tx.update(u, state)
        np.testing.assert_allclose(out, np.full(4, 1 + 0.01 * (0.02 - 1)), rtol=1e-6)


def test_scopes_share_one_gain():
    u = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    tx = neo.plasticity.stabilize(1.0, 1.0, scope=neo.whole_tree)
    out, state = tx.update(u, tx.init(u))
    assert state.gain.shape == (1,)
    np.testing.assert_allclose(out["a"] / out["b"], 0.75, rtol=1e-6)
    np.testing.assert_allclose((out["a"] ** 2 + out["b"] ** 2) / 2, 1.0, rtol=1e-5)


def test_what_is_zero_or_not_finite_keeps_the_gain():
    tx = neo.plasticity.stabilize(1.0, 1.0)
    _, state = tx.update(jnp.full(2, 4.0), tx.init(jnp.ones(2)))
    for bad in (jnp.zeros(2), jnp.array([1.0, np.nan]), jnp.array([np.inf, 1.0])):
        out, after = tx.update(bad, state)
        assert out.tolist() == [0, 0]
        properties.assert_trees_equal(after.gain, state.gain)


def test_measures_of_the_clip():
    u = {
        "bad": jnp.array([np.inf]),
        "long": jnp.array([3.0, 4.0]),
        "short": jnp.ones(1),
    }
    tx = neo.plasticity.clip_leaf_norm(2.0, monitor=True)
    _, state = jax.jit(tx.update)(u, tx.init(u))
    found = neo.diagnostics(state, u)
    assert found.keys() == {"unclipped_norm", "clipped"}
    assert found["unclipped_norm"].per_leaf == {"bad": 0, "long": 5, "short": 1}
    assert found["clipped"].per_leaf == {"bad": 0, "long": 1, "short": 0}
    np.testing.assert_allclose(found["clipped"].latest, 2 / 4)


@pytest.mark.parametrize("rule", [homeostatic, memoryless], ids=repr)
def test_measures_of_the_gains(rule):
    """Sizes 4 and 1; halfway to 1 the gain is a half, and nudged it is 1 - 1.5."""
    u = {"a": jnp.full((2, 2), -4.0), "b": jnp.ones(1), "bad": jnp.array([np.nan])}
    tx = neo.plasticity.stabilize(1.0, 0.5, rule=rule, minimum=0.25, monitor=True)
    _, state = jax.jit(tx.update)(u, tx.init(u))
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
