"""Bounded and orthogonal residuals against the oracle and their promises."""

import functools

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import properties
from neat_optax import plasticity
from oracle import plasticity as oracle

SEEDS = st.integers(0, 2**32 - 1)


def float32s(*entries):
    return np.array(entries, np.float32)


G = float32s(3, 4)
RATIOS = st.sampled_from([0.0, 0.1, 0.5, 2.0])


def pair(seed):
    """A gradient and a direction with norms between about 1e-3 and 1e3."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-3, 3, size=(2, 1, 1))
    return scales * rng.normal(size=(2, 3, 2))


def first(tx, gradient):
    return tx.update(gradient, tx.init(gradient))[0]


def once(tx, gradient):
    return np.asarray(jax.jit(functools.partial(first, tx))(gradient))


def direction(x):
    """A transformation that returns `x` whatever the gradient is."""
    return optax.stateless(lambda updates, params: x)  # noqa: ARG005


@jax.jit
def bound(g, moved, ratio):
    return first(plasticity.bound_residual(direction(moved), ratio), g)


@given(SEEDS, RATIOS)
def test_bound_agrees_with_the_oracle(seed, ratio):
    g, moved = pair(seed)
    with jax.enable_x64():
        out = bound(g, moved, ratio)
    np.testing.assert_allclose(out, oracle.bounded(g, moved, ratio), rtol=1e-9)
    properties.assert_bound_holds(out, g, ratio)


@functools.partial(jax.jit, static_argnames="match_norm")
def orthogonal(g, moved, strength, ratio, match_norm):
    tx = plasticity.orthogonal_residual(
        direction(moved), strength=strength, ratio=ratio, match_norm=match_norm
    )
    return first(tx, g)


@given(SEEDS, RATIOS, st.sampled_from([0.0, 0.1, 3.0]), st.booleans())
def test_orthogonal_agrees_with_the_oracle(seed, ratio, strength, match_norm):
    g, signal = pair(seed)
    with jax.enable_x64():
        out = np.asarray(orthogonal(g, signal + g, strength, ratio, match_norm))
    expected = oracle.orthogonal(g, signal, strength, ratio, match_norm)
    scale = np.linalg.norm(g) + strength * np.linalg.norm(signal)
    np.testing.assert_allclose(out, expected, rtol=1e-7, atol=1e-12 * scale)
    properties.assert_bound_holds(out, g, ratio)
    np.testing.assert_allclose(np.sum(out * g), np.sum(g * g), rtol=1e-6)


def test_by_hand():
    g, s = float32s(2.0, 0.0), float32s(5.0, 8.0)
    reference = direction(float32s(1.0, 0.0))
    tx = plasticity.orthogonal_residual(
        direction(s), reference, strength=0.25, ratio=9.0
    )
    assert once(tx, g).tolist() == [2.0, 2.0]
    tx = plasticity.orthogonal_residual(direction(s), strength=0.25, match_norm=True)
    assert once(tx, g).tolist() == [2.0, 0.5]
    assert once(
        plasticity.bound_residual(direction(s), 0.5), g
    ).tolist() == pytest.approx([2 + 3 / 73**0.5, 8 / 73**0.5])


def test_scope():
    """Over the whole tree, a long gradient lends its length to a short one."""
    g = {"a": float32s(3), "b": float32s(0)}
    moved = direction({"a": g["a"], "b": float32s(1)})
    apart = plasticity.bound_residual(moved, 1.0)
    together = plasticity.bound_residual(moved, 1.0, scope=neo.whole_tree)
    found = jax.jit(lambda g: [first(tx, g)["b"] for tx in (apart, together)])(g)
    assert [x.item() for x in found] == [0, 1]


def test_zero_gradients_and_those_that_are_not_finite():
    zero, bad = float32s(0, 0), float32s(1.0, np.nan)
    for wrap in (plasticity.bound_residual, plasticity.orthogonal_residual):
        assert once(wrap(direction(float32s(1, 1))), zero).tolist() == [0, 0]
        assert once(wrap(optax.scale(2.0)), bad).tolist() == [0, 0]
        assert once(wrap(direction(bad)), float32s(1, 1)).tolist() == [1, 1]


def recorded(tx, gradient, params=None):
    """Each measure of the first step, by scope or by path."""
    step = jax.jit(lambda g: tx.update(g, tx.init(g))[1])
    found = neo.diagnostics(step(gradient), params)
    return {name: value.per_leaf for name, value in found.items()}


def test_records_of_a_bound():
    """The residual 2 g is four times as long as the ratio allows."""
    found = recorded(plasticity.bound_residual(optax.scale(3.0), 0.5, monitor=True), G)
    expected = dict(
        residual_gradient_norm=5,
        signal_norm=10,
        residual_norm=2.5,
        residual_share=0.5,
        signal_cosine=1,
        residual_cosine=1,
        residual_shortened=1,
        residual_skipped=0,
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], [value], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(("ratio", "longest"), [(0.8, 2.0), (0.25, 1.25)])
def test_records_of_an_orthogonal_part(ratio, longest):
    """The signal (2, 11) is (6, 8) along the gradient, and (-4, 3) across."""
    signal = direction(G + float32s(2.0, 11.0))
    tx = plasticity.orthogonal_residual(signal, strength=0.4, ratio=ratio, monitor=True)
    found = recorded(tx, G)
    expected = dict(
        signal_norm=np.sqrt(125),
        residual_norm=longest,
        residual_share=longest / 5,
        signal_cosine=10 / np.sqrt(125),
        residual_cosine=0,
        residual_shortened=ratio == 0.25,
        residual_skipped=0,
    )
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], [value], 1e-6, 1e-6, err_msg=name)


def test_records_of_scopes():
    g = {
        "a": float32s(3.0),
        "b": float32s(4.0),
        "c": float32s(1, 1),
    }
    scope = neo.by_label({"a": "one", "b": "one", "c": "two"})
    tx = plasticity.bound_residual(optax.scale(2.0), 9.0, scope=scope, monitor=True)
    _, state = jax.jit(lambda g: tx.update(g, tx.init(g)))(g)
    assert state.recorded.size.tolist() == [2, 2]
    np.testing.assert_allclose(state.recorded.latest.signal_norm, [5, 2**0.5], 1e-6)
    np.testing.assert_allclose(recorded(tx, g)["residual_share"], [1, 1], rtol=1e-6)


@pytest.mark.parametrize(
    "wrap", [plasticity.bound_residual, plasticity.orthogonal_residual]
)
def test_without_direction_a_step_is_skipped_and_not_shortened(wrap):
    g = dict(
        zero=float32s(0, 0),
        bad=float32s(1.0, np.nan),
        odd=G,
        fine=G,
    )
    moved = dict(
        g,
        zero=G,
        odd=float32s(np.inf, 0.0),
        fine=float32s(-4.0, 3.0),
    )
    found = recorded(wrap(direction(moved), ratio=0.0, monitor=True), g, g)
    skipped = {name: bool(x) for name, x in found["residual_skipped"].items()}
    assert skipped == dict(zero=True, bad=True, odd=True, fine=False)
    shortened = {name: bool(x) for name, x in found["residual_shortened"].items()}
    assert shortened == dict(zero=False, bad=False, odd=False, fine=True)
    assert not any(found["residual_norm"].values())


@pytest.mark.parametrize(
    "wrap", [plasticity.bound_residual, plasticity.orthogonal_residual]
)
def test_wrong_arguments(wrap):
    with pytest.raises(ValueError, match=r"`ratio` must be in \[0, inf\), got -1"):
        wrap(optax.identity(), ratio=-1)
    with pytest.raises(ValueError, match=r"`scope` must be of type Scope, got 3"):
        wrap(optax.identity(), scope=3)
    with pytest.raises(ValueError, match=r"`match_norm` must be True or False"):
        plasticity.orthogonal_residual(optax.identity(), match_norm=1)
