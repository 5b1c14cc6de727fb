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
from running import run

SEEDS = st.integers(0, 2**32 - 1)
G = np.array([1, -3], np.float32)  # the coefficients of its first step are .6 and 1.4


def once(tx, gradient, params=None):
    return jax.jit(lambda g, p: tx.update(g, tx.init(g), p)[0])(gradient, params)


TARGETS = {
    "gain": plasticity.gain,
    "momentum": plasticity.momentum_target(0.75, debias=False),
    "debiased": plasticity.momentum_target(0.75),
    "trust": trust_ratio,
}


@jax.jit
def by_target(g, p, strength, ratio):
    """The first updates under each target."""
    base = optax.chain(optax.scale_by_sign(), optax.scale(0.5))
    found = {}
    for name, target in TARGETS.items():
        tx = plasticity.modulate(base, target=target, strength=strength, ratio=ratio)
        found[name] = tx.update(g, tx.init(g), p)[0]
    return found


@given(SEEDS, st.sampled_from([0.0, 0.25, 4.0]), st.sampled_from([0.0, 0.1, 2.0]))
def test_agrees_with_the_oracle(seed, strength, ratio):
    g, p = np.random.default_rng(seed).normal(size=(2, 3, 2))
    alpha = oracle.coefficient([g], oracle.Plasticity())
    base = 0.5 * np.sign(g)
    norms = np.linalg.norm(p) / np.linalg.norm(base)
    directions = {
        "gain": base,
        "momentum": 0.25 * g,
        "debiased": g,
        "trust": (np.clip(norms, 0.5, 1.5) - 1) * base,
    }
    with jax.enable_x64():
        found = by_target(g, p, strength, ratio)
    for name, direction in directions.items():
        expected = oracle.modulated(base, alpha, direction, strength, ratio)
        np.testing.assert_allclose(found[name], expected, rtol=1e-7, atol=1e-12)


def test_strength_zero_is_the_base():
    bases = optax.scale_by_adam(), optax.trace(0.9), optax.scale_by_lion()
    first = lambda tx, g: tx.update(g, tx.init(g))[0]  # noqa: E731
    found, expected = (
        jax.jit(lambda g, parts=parts: [first(tx, g) for tx in parts])(G)
        for parts in ([plasticity.modulate(b, strength=0.0) for b in bases], bases)
    )
    np.testing.assert_array_equal(found, expected)


def test_a_phase_is_a_schedule_of_the_strength():
    phase = lambda step: jnp.where(step >= 1, 0.5, 0.0)  # noqa: E731
    tx = plasticity.modulate(optax.identity(), strength=phase, ratio=9.0)
    (first, second), _, _ = run(tx, np.stack([G, G]), G, move=False)
    np.testing.assert_array_equal(first, G)
    np.testing.assert_allclose(second, [0.8, -3.6], rtol=1e-5)


def test_leaves_that_a_mask_leaves_out():
    g = {"head": G, "trunk": G}
    out = once(plasticity.modulate(optax.identity(), strength=1.0, mask=head), g)
    np.testing.assert_array_equal(out["trunk"], G)
    assert not np.allclose(out["head"], G)


head = by_path(lambda path, _: path == "head")


def test_a_leaf_left_out_has_no_memory():
    """Neither for its coefficients nor for the target, and the others keep theirs."""
    g = {"head": G, "trunk": np.ones((3, 2), np.float32)}
    for target in (plasticity.gain, plasticity.momentum_target(0.75)):
        tx = plasticity.modulate(optax.identity(), target=target, mask=head)
        alone = plasticity.modulate(optax.identity(), target=target)
        out, state, after = twice(tx, g)
        expected, _, after_alone = twice(alone, {"head": G})
        properties.assert_same_types(after, state)
        shapes = [
            sorted(x.shape for x in jax.tree.leaves(kept))
            for kept in (after, after_alone)
        ]
        assert shapes[0] == shapes[1]
        np.testing.assert_array_equal(out["head"], expected["head"])


def twice(tx, gradient):
    """The update of a second step, the first state and the last."""

    def steps(g):
        state = tx.init(g)
        out, after = tx.update(g, tx.update(g, state)[1])
        return out, state, after

    return jax.jit(steps)(gradient)


def test_specs_of_a_state_with_leaves_left_out():
    g = {"head": G, "trunk": np.ones((3, 2), np.float32)}
    tx = plasticity.modulate(
        optax.identity(), target=plasticity.momentum_target(0.75), mask=head
    )
    left_out = lambda x: isinstance(x, optax.MaskedNode)  # noqa: E731
    state = jax.eval_shape(tx.init, g)
    specs = optax.tree.map_params(
        tx, lambda x, spec: x if left_out(x) else spec, state, g, is_leaf=left_out
    )
    assert jax.tree.structure(specs) == jax.tree.structure(state)
    np.testing.assert_array_equal(specs.momentum["head"], G)


@pytest.mark.parametrize(
    ("ratio", "share", "shortened"), [(0.5, 0.4, 0.0), (0.25, 0.25, 1.0)]
)
def test_records(ratio, share, shortened):
    """What is added is 0.4 times as long as the update, and the trunk is left out."""
    g = {"head": G, "trunk": np.ones((3, 2), np.float32)}
    tx = plasticity.modulate(
        optax.identity(), strength=1.0, ratio=ratio, mask=head, monitor=True
    )
    _, state = jax.jit(lambda g: tx.update(g, tx.init(g)))(g)
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
        (optax.identity(), 0 * G, 0),
        (optax.identity(), np.array([1, np.inf], np.float32), 0),
        (optax.set_to_zero(), G, 0),
    ],
    ids=["update", "zero gradient", "not finite", "zero update"],
)
def test_records_where_nothing_can_be_added(base, gradient, active):
    tx = plasticity.modulate(
        base, target=plasticity.momentum_target(0.5), strength=1.0, monitor=True
    )
    out, state = jax.jit(lambda g: tx.update(g, tx.init(g)))(gradient)
    updates = base.update(gradient, base.init(gradient))[0]
    assert neo.diagnostics(state)["modulation_active"].latest == active
    assert np.array_equal(out, updates) == (not active)


def test_trust_ratio_needs_the_parameters():
    tx = plasticity.modulate(optax.identity(), target=trust_ratio)
    with pytest.raises(ValueError, match=r"`params` must be passed to update for mod"):
        once(tx, G)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`target` must be of type Target, got"):
        plasticity.modulate(optax.identity(), target=plasticity.momentum_target)  # pyright: ignore
    with pytest.raises(ValueError, match=r"`strength` must be in \[0, inf\), got -1"):
        plasticity.modulate(optax.identity(), strength=-1)
    with pytest.raises(ValueError, match=r"`monitor` must be True or False, got 1"):
        plasticity.modulate(optax.identity(), monitor=1)  # pyright: ignore
    assert repr(trust_ratio) == "<target trust_ratio>"
