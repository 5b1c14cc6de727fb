"""Mirrored pairs: chunks, failures, what the loss returns, and noise of each leaf."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from es_losses import (
    KEY,
    PARAMS,
    assert_trees_close,
    for_each,
    gradients_of,
    loss,
    two_losses,
)
from neat_optax.evolution import (
    _pairs,
    centered_ranks,
    es_value_and_grad,
    nes_utilities,
    raw,
    standardized,
)
from oracle import es as es_oracle

SHAPINGS = [raw, centered_ranks, standardized, nes_utilities]
FAST = {(3, True, 0), (3, True, 10**6), (11, False, 0)}
PRODUCT = [
    pytest.param(*one, marks=() if one in FAST else pytest.mark.slow)
    for one in itertools.product([1, 3, 11], [False, True], [0, 10**6])
]


@functools.cache
def whole(fn):
    return gradients_of(fn, 0.3, 10)(KEY, PARAMS)


@pytest.mark.parametrize(("batch_size", "players", "kept"), PRODUCT)
def test_chunks_of_any_size_give_the_same_numbers(
    monkeypatch, batch_size, players, kept
):
    fn = two_losses if players else loss
    monkeypatch.setattr(_pairs, "_KEPT", kept)
    chunks = gradients_of(fn, 0.3, 10, batch_size=batch_size)(KEY, PARAMS)
    assert_trees_close(chunks, whole(fn), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("batch_size", [2, pytest.param(None, marks=pytest.mark.slow)])
def test_even_functions_cancel_exactly(batch_size):
    def even(p):
        return jnp.sum(jnp.cos(p)) + jnp.max(jnp.abs(p))

    fn = for_each(SHAPINGS, even, 0.7, 5, batch_size=batch_size)
    for value, grads in fn(KEY, np.zeros((3, 2), np.float32)):
        assert value != 0
        np.testing.assert_array_equal(grads, np.zeros((3, 2)))


@pytest.mark.slow
def test_ranks_do_not_see_an_increasing_map_of_the_loss():
    def mapped(params, factor):
        return factor * loss(params)

    fn = gradients_of(mapped, 0.2, 9, shaping=centered_ranks)
    _, before = fn(KEY, PARAMS, 1.0)
    _, after = fn(KEY, PARAMS, 16.0)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(a, b)


def test_leaves_of_one_shape_have_noise_of_their_own():
    fn = gradients_of(lambda p: jnp.sum(p["a"] + p["b"]), 0.2, 4)
    zeros = np.zeros(3, np.float32)
    _, grads = fn(KEY, {"a": zeros, "b": zeros})
    assert not np.any(np.isclose(grads["a"], grads["b"]))


@pytest.mark.parametrize("batch_size", [4, pytest.param(None, marks=pytest.mark.slow)])
def test_aux_of_every_evaluation(batch_size):
    def with_aux(params, offset):
        return loss(params) + offset, {"sum": jnp.sum(params["b"])}

    fn = gradients_of(with_aux, 0.2, 6, has_aux=True, batch_size=batch_size)
    (value, aux), grads = fn(KEY, PARAMS, offset=2.0)
    plain, expected = gradients_of(loss, 0.2, 6)(KEY, PARAMS)
    np.testing.assert_allclose(value, plain + 2, rtol=1e-6)
    assert_trees_close(grads, expected, rtol=1e-4, atol=1e-4)
    drawn = es_oracle.noise(KEY, [(2,)], 6)[0].sum(axis=1)
    sums = -0.5 + 0.2 * np.stack([drawn, -drawn], axis=1)
    np.testing.assert_allclose(aux["sum"], sums, atol=1e-6)


def fails(p, bad):
    return jnp.where(p[0] > 0.5, bad, jnp.sum((p - 1) ** 2))


ORIGIN = np.zeros(3, np.float32)
BAD = pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
FAILING = gradients_of(fails, 0.4, 12)
FAILING_BY_RANKS = gradients_of(fails, 0.4, 12, shaping=centered_ranks)


@BAD
def test_raw_leaves_out_pairs_with_a_failure(bad):
    value, grads = FAILING(KEY, ORIGIN, bad)
    (drawn,) = es_oracle.noise(KEY, [(3,)], 12)
    losses = es_oracle.mirrored_losses(
        lambda p: np.sum((p - 1) ** 2), [np.zeros(3)], [0.4], [drawn]
    )
    ok = np.stack([0.4 * drawn[:, 0] <= 0.5, -0.4 * drawn[:, 0] <= 0.5], axis=1)
    kept = ok.all(axis=1)
    assert 0 < kept.sum() < 12
    expected = es_oracle.es_gradient(losses[kept], 0.4, drawn[kept])
    np.testing.assert_allclose(grads, expected, rtol=1e-4)
    np.testing.assert_allclose(value, losses[ok].mean(), rtol=1e-5)


@BAD
def test_under_ranks_a_failure_is_the_worst(bad):
    found, expected = (FAILING_BY_RANKS(KEY, ORIGIN, b)[1] for b in (bad, 1e9))
    np.testing.assert_array_equal(found, expected)


def test_where_all_evaluations_fail_the_gradient_is_zero():
    fn = for_each(SHAPINGS, lambda p: jnp.sum(p) * jnp.nan, 0.4, 4)
    for value, grads in fn(KEY, np.ones(3, np.float32)):
        np.testing.assert_array_equal(grads, np.zeros(3))
        assert jnp.isnan(value)


def test_a_failure_of_one_player_leaves_the_others_alone():
    def losses(p):
        return jnp.stack([fails(p, jnp.nan), jnp.sum(p)])

    value, grads = gradients_of(losses, 0.4, 12)(KEY, ORIGIN)
    alone = gradients_of(jnp.sum, 0.4, 12)(KEY, ORIGIN)
    np.testing.assert_allclose(grads[1], alone[1], rtol=1e-5)
    np.testing.assert_allclose(value[1], alone[0], atol=1e-6)
    assert np.all(np.isfinite(grads))


@pytest.mark.parametrize(
    "out",
    [np.ones((2, 2)), np.array(1), np.array(1j), "loss", (1.0, 2.0)],
    ids=["matrix", "integer", "complex", "text", "pair"],
)
def test_a_loss_of_the_wrong_kind(out):
    with pytest.raises(ValueError, match="`loss` must return a real float of shape"):
        jax.eval_shape(es_value_and_grad(lambda _: out, 0.1, 3), KEY, PARAMS)


def test_a_key_of_the_wrong_kind():
    with pytest.raises(ValueError, match="`key` must be an integer"):
        es_value_and_grad(loss, 0.1, 3)(0.5, PARAMS)
