"""Plasticity on top of other optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import properties
from neat_optax import by_path, plasticity
from neat_optax.plasticity import trust_ratio
from oracle import plasticity as oracle

SEEDS = st.integers(0, 2**32 - 1)
G = jnp.array([1.0, -3.0])  # the coefficients of its first step are 0.6 and 1.4


def once(tx, gradient, params=None):
    return tx.update(gradient, tx.init(gradient), params)[0]


@given(SEEDS, st.sampled_from([0.0, 0.25, 4.0]), st.sampled_from([0.0, 0.1, 2.0]))
def test_agrees_with_the_oracle(seed, strength, ratio):
    g, p = np.random.default_rng(seed).normal(size=(2, 3, 2))
    alpha = oracle.coefficient([g], oracle.Plasticity())
    base = 0.5 * np.sign(g)
    norms = np.linalg.norm(p) / np.linalg.norm(base)
    directions = {
        plasticity.gain: base,
        plasticity.momentum_target(0.75, debias=False): 0.25 * g,
        plasticity.momentum_target(0.75): g,
        trust_ratio: (np.clip(norms, 0.5, 1.5) - 1) * base,
    }
    for target, direction in directions.items():
        with jax.enable_x64():
            scaled = optax.chain(optax.scale_by_sign(), optax.scale(0.5))
            tx = neo.plasticity.modulate(
                scaled, target=target, strength=strength, ratio=ratio
            )
            out = once(tx, jnp.asarray(g), jnp.asarray(p))
        expected = oracle.modulated(base, alpha, direction, strength, ratio)
        np.testing.assert_allclose(out, expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    "base", [optax.scale_by_adam(), optax.trace(0.9), optax.scale_by_lion()]
)
def test_strength_zero_is_the_base(base):
    np.testing.assert_array_equal(
        once(neo.plasticity.modulate(base, strength=0.0), G), once(base, G)
    )


def test_a_phase_is_a_schedule_of_the_strength():
    late = optax.piecewise_constant_schedule(0.0, {})
    phase = lambda step: jnp.where(step >= 1, 0.5, late(step))  # noqa: E731
    tx = neo.plasticity.modulate(optax.identity(), strength=phase, ratio=9.0)
    state = tx.init(G)
    first, state = tx.update(G, state)
    second, state = tx.update(G, state)
    np.testing.assert_array_equal(first, G)
    np.testing.assert_allclose(second, [0.8, -3.6], rtol=1e-5)


def test_where():
    g = {"head": G, "trunk": G}
    tx = neo.plasticity.modulate(
        optax.identity(), strength=1.0, mask=by_path(lambda path, _: path[0] == "h")
    )
    out = once(tx, g)
    np.testing.assert_array_equal(out["trunk"], G)
    assert not np.allclose(out["head"], G)


head = by_path(lambda path, _: path == "head")


@pytest.mark.parametrize(
    "target", [plasticity.gain, plasticity.momentum_target(0.75)], ids=repr
)
def test_a_leaf_left_out_has_no_memory(target):
    """Neither for its coefficients nor for the target, and the others keep theirs."""
    g = {"head": G, "trunk": jnp.ones((3, 2))}
    tx = neo.plasticity.modulate(optax.identity(), target=target, mask=head)
    alone = neo.plasticity.modulate(optax.identity(), target=target)
    states = tx.init(g), alone.init({"head": G})
    shapes = [sorted(x.shape for x in jax.tree.leaves(s)) for s in states]
    assert shapes[0] == shapes[1]
    for _ in range(2):
        out, after = tx.update(g, states[0])
        expected, after_alone = alone.update({"head": G}, states[1])
        properties.assert_same_types(after, states[0])
        np.testing.assert_array_equal(out["head"], expected["head"])
        states = after, after_alone


def test_specs_of_a_state_with_leaves_left_out():
    g = {"head": G, "trunk": jnp.ones((3, 2))}
    tx = neo.plasticity.modulate(
        optax.identity(), target=plasticity.momentum_target(0.75), mask=head
    )
    left_out = lambda x: isinstance(x, optax.MaskedNode)  # noqa: E731
    specs = optax.tree.map_params(
        tx, lambda x, spec: x if left_out(x) else spec, tx.init(g), g, is_leaf=left_out
    )
    assert jax.tree.structure(specs) == jax.tree.structure(tx.init(g))
    np.testing.assert_array_equal(specs.momentum["head"], G)


@pytest.mark.parametrize(
    ("ratio", "share", "shortened"), [(0.5, 0.4, 0.0), (0.25, 0.25, 1.0)]
)
def test_measures(ratio, share, shortened):
    """What is added is 0.4 times as long as the update, and the trunk is left out."""
    g = {"head": G, "trunk": jnp.ones((3, 2))}
    tx = neo.plasticity.modulate(
        optax.identity(), strength=1.0, ratio=ratio, mask=head, monitor=True
    )
    _, state = jax.jit(tx.update)(g, tx.init(g))
    found = neo.diagnostics(state, g)
    expected = dict(
        modulation_norm=share * np.sqrt(10),
        modulation_share=share,
        modulation_shortened=shortened,
        modulation_active=1.0,
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].per_leaf["head"], value, rtol=1e-5)
        assert found[name].per_leaf["trunk"] == 0
        np.testing.assert_allclose(found[name].latest, value * 2 / 8, rtol=1e-5)


@pytest.mark.parametrize(
    ("base", "gradient", "active"),
    [
        (optax.identity(), G, 1),
        (optax.identity(), jnp.zeros(2), 0),
        (optax.identity(), jnp.array([1.0, np.inf]), 0),
        (optax.set_to_zero(), G, 0),
    ],
    ids=["update", "zero gradient", "not finite", "zero update"],
)
def test_measures_where_nothing_can_be_added(base, gradient, active):
    tx = neo.plasticity.modulate(
        base, target=plasticity.momentum_target(0.5), strength=1.0, monitor=True
    )
    out, state = tx.update(gradient, tx.init(gradient))
    updates = base.update(gradient, base.init(gradient))[0]
    assert neo.diagnostics(state)["modulation_active"].latest == active
    assert np.array_equal(out, updates) == (not active)


def test_trust_ratio_needs_the_parameters():
    tx = neo.plasticity.modulate(optax.identity(), target=trust_ratio)
    with pytest.raises(ValueError, match=r"`params` must be passed to update for mod"):
        once(tx, G)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`target` must be of type Target, got"):
        neo.plasticity.modulate(optax.identity(), target=plasticity.momentum_target)  # pyright: ignore
    with pytest.raises(ValueError, match=r"`strength` must be in \[0, inf\), got -1"):
        neo.plasticity.modulate(optax.identity(), strength=-1)
    with pytest.raises(ValueError, match=r"`monitor` must be True or False, got 1"):
        neo.plasticity.modulate(optax.identity(), monitor=1)  # pyright: ignore
    assert repr(trust_ratio) == "<target trust_ratio>"
