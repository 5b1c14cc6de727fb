"""Coefficients against numbers by hand, the oracle, and what must always hold."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import properties
from neat_optax import by_path, plasticity, sparsity
from oracle import plasticity as oracle

GRAD_ONLY = dict(activity_weight=0, gradient_weight=1, memory_weight=0)
SEEDS = st.integers(0, 2**32 - 1)


def played(tx, history):
    """What a transformation makes of each gradient, and its last state."""
    state, out = tx.init(history[0]), []
    for gradient in history:
        update, state = tx.update(gradient, state)
        out.append(update)
    return out, state


def draw_history(seed, steps=4, shape=(3, 2)):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-4, 4)
    history = scale * rng.normal(size=(steps, *shape))
    history[:, rng.uniform(size=shape) < 0.2] = 0  # a dead entry now and then
    return history


def test_by_hand():
    """Signals 0.5 and 1.5 of gradient and activity; the memory starts the same."""
    g = jnp.array([1.0, -3.0])
    (update,), state = played(neo.plasticity.scale_by_plasticity(), [g])
    np.testing.assert_allclose(update, [0.6 * 1, 1.4 * -3], rtol=1e-6)
    np.testing.assert_allclose(state.activity, [0.05, 0.15], rtol=1e-6)
    np.testing.assert_allclose(state.momentum, [0.1, -0.3], rtol=1e-6)
    np.testing.assert_allclose(state.variance, [0.01, 0.09], rtol=1e-5)


@given(SEEDS, st.sampled_from([0.0, 0.5, 1.0, 3.0]), st.booleans())
def test_agrees_with_the_oracle(seed, strength, is_complex):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(size=3) * (rng.uniform(size=3) < 0.8)
    weights[1] += 0.1
    decays = rng.choice([0.0, 0.5, 0.9], size=3)
    names = oracle.Plasticity._fields
    numbers = oracle.Plasticity(*weights, *decays, 0.3, 1.8, strength)
    history = draw_history(seed)
    if is_complex:
        history = history * (1 + 0.5j)
    with jax.enable_x64():
        tx = neo.plasticity.scale_by_plasticity(
            **{k: float(x) for k, x in zip(names, numbers, strict=True)}
        )
        updates, _ = played(tx, [jnp.asarray(g) for g in history])
    for t, update in enumerate(updates):
        alpha = oracle.coefficient(history[: t + 1], numbers)
        np.testing.assert_allclose(update, alpha * history[t], rtol=1e-7, atol=1e-12)


@given(SEEDS, st.sampled_from([0.0, 1.0, 2.0, 10.0]))
def test_coefficients_stay_inside_and_nothing_ascends(seed, strength):
    history = [jnp.asarray(g, jnp.float32) for g in draw_history(seed)]
    for alpha in played(plasticity.coefficients(strength=strength), history)[0]:
        assert np.all((alpha >= np.float32(0.2)) & (alpha <= 2))
    updates, _ = played(neo.plasticity.scale_by_plasticity(strength=strength), history)
    assert all(np.all(u * g >= 0) for u, g in zip(updates, history, strict=True))


@given(SEEDS)
def test_scale_free(seed):
    """Entries between 1e-15 and 1e14: their squares stay in the range of float32."""
    history = jnp.asarray(draw_history(seed), jnp.float32)
    expected = played(plasticity.coefficients(), list(history))[0]
    for scale in (1e-9, 1e9):
        alphas = played(plasticity.coefficients(), list(history * scale))[0]
        properties.assert_trees_close(alphas, expected, 1e-4, 1e-6)


def test_a_weight_of_zero_allocates_no_buffer():
    p = jnp.ones((3, 2))

    def buffers(**kwargs):
        state = neo.plasticity.scale_by_plasticity(**kwargs).init(p)
        return sum(x.size for x in jax.tree.leaves(state)) // 6

    assert buffers() == 3
    assert buffers(memory_weight=0) == 1
    assert buffers(activity_weight=0) == 2
    assert buffers(**GRAD_ONLY) == 0


def test_strength_zero_is_the_gradient_alone():
    history = [jnp.asarray(g, jnp.float32) for g in draw_history(3)]
    gated = played(neo.plasticity.scale_by_plasticity(strength=0.0), history)[0]
    alone = played(neo.plasticity.scale_by_plasticity(**GRAD_ONLY), history)[0]
    properties.assert_trees_close(gated, alone)


def test_zero_gradients_are_left_alone():
    zero = jnp.zeros(3)
    alphas, _ = played(plasticity.coefficients(), [zero, zero])
    np.testing.assert_allclose(alphas, np.ones((2, 3)), rtol=1e-6)


def test_granularity():
    g = jnp.array([[1.0, 2.0], [3.0, 6.0]])
    expected = {
        sparsity.entries: [[1 / 3, 2 / 3], [1.0, 2.0]],
        sparsity.units(-1): [[2 / 3, 4 / 3]] * 2,
        sparsity.units(0): [[0.5] * 2, [1.5] * 2],
        sparsity.blocks(2, 1): [[2 / 3, 4 / 3]] * 2,
        sparsity.arrays: [[1.0] * 2] * 2,
    }
    for granularity, alphas in expected.items():
        tx = plasticity.coefficients(granularity=granularity, **GRAD_ONLY)
        np.testing.assert_allclose(tx.update(g, tx.init(g))[0], alphas, rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (4, 0)], ids=str)
def test_granularity_of_arrays_without_groups(shape):
    """A number and each entry of a vector are units; nothing has no coefficient."""
    g = jnp.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    for granularity in (sparsity.entries, sparsity.units(-1), sparsity.arrays):
        tx = plasticity.coefficients(granularity=granularity, **GRAD_ONLY)
        alpha, _ = tx.update(g, tx.init(g))
        mean = 1.0 if granularity is sparsity.arrays else g / max(np.mean(g), 1)
        np.testing.assert_allclose(alpha, np.broadcast_to(mean, shape), rtol=1e-6)


def test_scope():
    """Over the whole tree, an array with small gradients is less plastic."""
    g = {"a": jnp.array([1.0]), "b": jnp.array([3.0])}
    tx = neo.plasticity.scale_by_plasticity(scope=neo.whole_tree, **GRAD_ONLY)
    update, _ = tx.update(g, tx.init(g))
    assert (update["a"].item(), update["b"].item()) == (0.5, 4.5)


def test_where():
    """Other leaves are handed on bit for bit, and have no memory."""
    g = {"dense": jnp.array([1.0, -3.0]), "norm": jnp.array([jnp.nan, 3.0])}
    tx = neo.plasticity.scale_by_plasticity(
        mask=by_path(lambda path, _: path == "dense")
    )
    state = tx.init(g)
    assert isinstance(state.momentum["norm"], optax.MaskedNode)
    update, after = jax.jit(tx.update)(g, state)
    np.testing.assert_array_equal(update["norm"], g["norm"])
    np.testing.assert_allclose(update["dense"], [0.6, -4.2], rtol=1e-6)
    properties.assert_same_types(after, state)
    fresh = neo.reset_moments(tx, after, g, jax.tree.map(lambda x: x == x, g))
    assert not np.any(fresh.activity["dense"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_not_finite_counts_as_zero(bad):
    good, poor = jnp.array([1.0, 0.0, -3.0]), jnp.array([1.0, bad, -3.0])
    tx = neo.plasticity.scale_by_plasticity()
    properties.assert_trees_equal(played(tx, [poor, good]), played(tx, [good, good]))


def test_strength_as_a_schedule():
    """The original's warm-up over epochs: clip((epoch - 1) / warmup, 0, 1)."""
    gate = optax.linear_schedule(0.0, 1.0, 2)
    history = [jnp.asarray(g, jnp.float32) for g in draw_history(5)]
    updates = played(neo.plasticity.scale_by_plasticity(strength=gate), history)[0]
    for t, share in enumerate((0.0, 0.5, 1.0, 1.0)):
        fixed = played(neo.plasticity.scale_by_plasticity(strength=share), history)[0]
        properties.assert_trees_close(updates[t], fixed[t])


def test_composes_with_conflict_rules():
    tx = optax.chain(
        neo.neat_correction(0.5), neo.plasticity.neuroplastic(0.1, monitor=True)
    )
    p, g = jnp.ones(3), jnp.array([1.0, -2.0, 0.5])
    state = tx.init(p)
    for sign in (1, -1):
        update, state = tx.update(sign * g, state, p)
    properties.assert_finite(update)
    assert "plasticity" in neo.diagnostics(state)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(activity_weight=-1), r"`activity_weight` must be in \[0, inf\), got -1"),
        (dict(variance_decay=1.0), r"`variance_decay` must be in \[0, 1\), got 1.0"),
        (dict(minimum=3.0), r"must be \(minimum, maximum\) in order, got \(3.0, 2.0\)"),
        (dict(minimum=-0.5), r"`minimum, maximum` must be in \[0, inf\), got -0.5"),
        (dict(strength=-1.0), r"`strength` must be in \[0, inf\), got -1.0"),
        (dict(granularity=3), r"`granularity` must be of type Granularity, got 3"),
        (dict(scope=3), r"`scope` must be of type Scope, got 3"),
        (dict(mask=3), r"`mask` must hold True or False, got 3"),
        (dict(monitor=3), r"`monitor` must be True or False, got 3"),
        (
            dict(activity_weight=0, gradient_weight=0, memory_weight=0),
            r"weight` must be in \(0, inf\), got 0",
        ),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        neo.plasticity.scale_by_plasticity(**kwargs)
