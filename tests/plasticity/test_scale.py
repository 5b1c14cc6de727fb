"""Coefficients against numbers by hand, the oracle, and what must always hold."""

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import properties
from neat_optax import by_path, plasticity, sparsity
from oracle import plasticity as oracle

ALONE = [plasticity.gradient(1.0)]
SEEDS = st.integers(0, 2**32 - 1)


def played(tx, history):
    """What a transformation makes of each gradient, and its last state."""

    def step(state, gradient):
        update, state = tx.update(gradient, state)
        return state, update

    first = jax.tree.map(lambda x: x[0], history)
    state, updates = jax.lax.scan(step, tx.init(first), history)
    return updates, state


def once(tx, gradient):
    return jax.jit(lambda g: tx.update(g, tx.init(g)))(gradient)


def draw_history(seed, steps=4, shape=(3, 2)):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-4, 4)
    history = scale * rng.normal(size=(steps, *shape))
    history[:, rng.uniform(size=shape) < 0.2] = 0  # a dead entry now and then
    return history


def float32s(*entries):
    return np.array(entries, np.float32)


def test_by_hand():
    """Signals 0.5 and 1.5 of gradient and activity; the memory starts the same."""
    update, state = once(plasticity.scale_by_plasticity(), float32s(1, -3))
    np.testing.assert_allclose(update, [0.6 * 1, 1.4 * -3], rtol=1e-6)
    np.testing.assert_allclose(state.averages["activity"], [0.05, 0.15], rtol=1e-6)
    np.testing.assert_allclose(state.averages["momentum"], [0.1, -0.3], rtol=1e-6)
    np.testing.assert_allclose(state.averages["variance"], [0.01, 0.09], rtol=1e-5)


@jax.jit
def by_numbers(history, weights, decays, strength):
    """All updates of a history, with numbers that are not known in advance."""
    of_activity, of_gradient, of_memory = weights
    signals = (
        plasticity.gradient(of_gradient),
        plasticity.activity(of_activity, decays[0]),
        plasticity.memory(of_memory, *decays[1:]),
    )
    tx = plasticity.scale_by_plasticity(
        signals, minimum=0.3, maximum=1.8, strength=strength
    )
    return played(tx, history)[0]


@given(SEEDS, st.sampled_from([0.0, 0.5, 1.0, 3.0]), st.booleans())
def test_agrees_with_the_oracle(seed, strength, is_complex):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(size=3) * (rng.uniform(size=3) < 0.8)
    weights[1] += 0.1
    decays = rng.choice([0.0, 0.5, 0.9], size=3)
    numbers = oracle.Plasticity(*weights, *decays, 0.3, 1.8, strength)
    history = draw_history(seed)
    if is_complex:
        history = history * (1 + 0.5j)
    with jax.enable_x64():
        updates = by_numbers(history, weights, decays, strength)
    for t, update in enumerate(updates):
        alpha = oracle.coefficient(history[: t + 1], numbers)
        np.testing.assert_allclose(update, alpha * history[t], rtol=1e-7, atol=1e-12)


FIXED = {
    "default": ((), {}),
    "no activity": ((0, 0.4, 0.2), {}),
    "no memory": ((0.4, 0.4, 0), dict(strength=2.0)),
    "no gradient": ((0.4, 0, 0.2), dict(strength=0.5)),
    "the gradient alone": ((0, 1, 0), {}),
}


def test_agrees_with_the_oracle_where_weights_are_known_in_advance():
    """A weight of the number 0 takes its signal out of the computation."""
    history = draw_history(1)

    def updates():
        found = {}
        for name, (weights, numbers) in FIXED.items():
            kinds = plasticity.activity, plasticity.gradient, plasticity.memory
            signals = [kind(weight) for kind, weight in zip(kinds, weights)]  # noqa: B905
            given_signals = dict(signals=signals) if signals else {}
            tx = plasticity.scale_by_plasticity(**given_signals, **numbers)
            found[name] = played(tx, history)[0]
        return found

    with jax.enable_x64():
        found = jax.jit(updates)()
    for name, (weights, numbers) in FIXED.items():
        given_numbers = oracle.Plasticity(*weights)._replace(**numbers)
        for t, update in enumerate(found[name]):
            alpha = oracle.coefficient(history[: t + 1], given_numbers)
            np.testing.assert_allclose(update, alpha * history[t], rtol=1e-7)


@jax.jit
def both(history, strength):
    """The coefficients and the updates of a history."""
    makers = plasticity.coefficients, plasticity.scale_by_plasticity
    return [played(make(strength=strength), history)[0] for make in makers]


@given(SEEDS, st.sampled_from([0.0, 1.0, 2.0, 10.0]))
def test_coefficients_stay_inside_and_nothing_ascends(seed, strength):
    history = draw_history(seed).astype(np.float32)
    alphas, updates = map(np.asarray, both(history, np.float32(strength)))
    assert np.all((alphas >= np.float32(0.2)) & (alphas <= 2))
    assert np.all(updates * history >= 0)


COEFFICIENTS = jax.jit(lambda history: played(plasticity.coefficients(), history)[0])


@given(SEEDS)
def test_scale_free(seed):
    """Entries between 1e-15 and 1e14: their squares stay in the range of float32."""
    history = draw_history(seed).astype(np.float32)
    expected = COEFFICIENTS(history)
    for scale in (1e-9, 1e9):
        alphas = COEFFICIENTS(history * np.float32(scale))
        properties.assert_trees_close(alphas, expected, 1e-4, 1e-6)


def test_a_weight_of_zero_allocates_no_buffer():
    def buffers(*signals):
        tx = plasticity.scale_by_plasticity(*signals)
        state = jax.eval_shape(tx.init, np.ones((3, 2), np.float32))
        return sum(x.size for x in jax.tree.leaves(state)) // 6

    gradient, activity, memory = (
        plasticity.gradient(),
        plasticity.activity(),
        plasticity.memory(),
    )
    assert buffers() == 3
    assert buffers([gradient, activity]) == 1
    assert buffers([gradient, plasticity.activity(0), memory]) == 2
    assert buffers([gradient, activity, plasticity.memory(0)]) == 1
    assert buffers(ALONE) == 0


def test_strength_zero_is_the_gradient_alone():
    history = draw_history(3).astype(np.float32)
    gated = both(history, np.float32(0))[1]
    tx = plasticity.scale_by_plasticity(ALONE)
    alone = jax.jit(lambda history: played(tx, history)[0])(history)
    properties.assert_trees_close(gated, alone)


def test_zero_gradients_are_left_alone():
    alphas = COEFFICIENTS(np.zeros((2, 3), np.float32))
    np.testing.assert_allclose(alphas, np.ones((2, 3)), rtol=1e-6)


def test_granularity():
    g = float32s([1, 2], [3, 6])
    expected = {
        sparsity.entries: [[1 / 3, 2 / 3], [1.0, 2.0]],
        sparsity.units(-1): [[2 / 3, 4 / 3]] * 2,
        sparsity.units(0): [[0.5] * 2, [1.5] * 2],
        sparsity.blocks(2, 1): [[2 / 3, 4 / 3]] * 2,
        sparsity.arrays: [[1.0] * 2] * 2,
    }
    found = alone_by_granularity(expected, g)
    for alphas, wanted in zip(found, expected.values(), strict=True):
        np.testing.assert_allclose(alphas, wanted, rtol=1e-6)


def alone_by_granularity(granularities, gradient):
    """The coefficients of the gradient alone, under each granularity."""
    parts = [plasticity.coefficients(ALONE, granularity=x) for x in granularities]
    return jax.jit(lambda g: [tx.update(g, tx.init(g))[0] for tx in parts])(gradient)


def test_granularity_of_arrays_without_groups():
    """A number and each entry of a vector are units; nothing has no coefficient."""
    shapes = (), (3,), (0, 4), (4, 0)
    grads = [np.arange(1.0, 1 + np.prod(x), dtype="f4").reshape(x) for x in shapes]
    granularities = sparsity.entries, sparsity.units(-1), sparsity.arrays
    found = alone_by_granularity(granularities, grads)
    for granularity, alphas in zip(granularities, found, strict=True):
        for alpha, g in zip(alphas, grads, strict=True):
            mean = 1.0
            if granularity is not sparsity.arrays and g.size:
                mean = g / np.mean(g)
            np.testing.assert_allclose(alpha, np.broadcast_to(mean, g.shape), rtol=1e-6)


def test_scope():
    """Over the whole tree, an array with small gradients is less plastic."""
    g = {"a": float32s(1), "b": float32s(3)}
    tx = plasticity.scale_by_plasticity(ALONE, scope=neo.whole_tree)
    update, _ = once(tx, g)
    assert (update["a"].item(), update["b"].item()) == (0.5, 4.5)


def test_leaves_that_a_mask_leaves_out():
    """They are returned bit for bit, and have no averages."""
    g = {"dense": float32s(1, -3), "norm": float32s(np.nan, 3)}
    tx = plasticity.scale_by_plasticity(mask=by_path(lambda path, _: path == "dense"))
    state = tx.init(g)
    assert isinstance(state.averages["momentum"]["norm"], optax.MaskedNode)
    update, after = once(tx, g)
    np.testing.assert_array_equal(update["norm"], g["norm"])
    np.testing.assert_allclose(update["dense"], [0.6, -4.2], rtol=1e-6)
    properties.assert_same_types(after, state)
    everywhere = jax.tree.map(lambda x: np.ones(x.shape, bool), g)
    fresh = neo.reset_moments(tx, after, g, everywhere)
    assert not np.any(fresh.averages["activity"]["dense"])


def test_what_is_not_finite_counts_as_zero():
    run = jax.jit(lambda history: played(plasticity.scale_by_plasticity(), history))
    good = float32s([1, 0, -3], [1, 0, -3])
    expected = run(good)
    for bad in (np.nan, np.inf, -np.inf, 1e30):
        poor = good.copy()
        poor[0, 1] = bad
        properties.assert_trees_equal(run(poor), expected)


def test_strength_as_a_schedule():
    """The original's warm-up over epochs: clip((epoch - 1) / warmup, 0, 1)."""
    gate = optax.linear_schedule(0.0, 1.0, 2)
    history = draw_history(5).astype(np.float32)
    tx = plasticity.scale_by_plasticity(strength=gate)
    updates = jax.jit(lambda history: played(tx, history)[0])(history)
    for t, share in enumerate((0.0, 0.5, 1.0, 1.0)):
        fixed = both(history, np.float32(share))[1]
        properties.assert_trees_close(updates[t], fixed[t])


def test_composes_with_conflict_rules():
    tx = optax.chain(
        neo.neat_correction(0.5), plasticity.neuroplastic(0.1, monitor=True)
    )
    g, p = float32s(1, -2, 0.5), float32s(1, 1, 1)
    step, state = jax.jit(tx.update), jax.jit(tx.init)(p)
    for gradient in (g, -g):
        update, state = step(gradient, state, p)
        properties.assert_finite(update)
    assert "plasticity" in neo.diagnostics(state)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(signals=3), r"`signals` must be a sequence of Signal, got 3"),
        (dict(signals=[3]), r"`signals` must be of type Signal, got 3"),
        (
            dict(signals=[plasticity.gradient()] * 2),
            r"`signals` must have names that differ, got \['gradient', 'gradient'\]",
        ),
        (dict(minimum=3.0), r"must be \(minimum, maximum\) in order, got \(3.0, 2.0\)"),
        (dict(minimum=-0.5), r"`minimum, maximum` must be in \[0, inf\), got -0.5"),
        (dict(strength=-1.0), r"`strength` must be in \[0, inf\), got -1.0"),
        (dict(granularity=3), r"`granularity` must be of type Granularity, got 3"),
        (dict(scope=3), r"`scope` must be of type Scope, got 3"),
        (dict(monitor=3), r"`monitor` must be True or False, got 3"),
        (
            dict(signals=[plasticity.gradient(0), plasticity.memory(0)]),
            r"`gradient.weight \+ memory.weight` must be in \(0, inf\), got 0",
        ),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        plasticity.scale_by_plasticity(**kwargs)


def test_a_mask_that_is_no_mask():
    with pytest.raises(ValueError, match=r"`mask` must hold True or False, got 3"):
        plasticity.scale_by_plasticity(mask=3).init(float32s(1))
