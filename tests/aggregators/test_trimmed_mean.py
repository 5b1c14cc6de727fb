import jax.numpy as jnp
import numpy as np
import pytest

import aggregator_goldens as goldens
from neat_optax.aggregators._trimmed_mean import trimmed_mean, trimmed_mean_leaf
from player_contract import check_contract, gradients, run
from properties import assert_same_types

CASES = goldens.cases("aggregators", "torchjd.TrimmedMean_1.float64")


def reduced(g, num_trimmed, **extra):
    tx = trimmed_mean(num_trimmed)
    return tx.update(g, tx.init(g[0]), **extra)[0]


def test_by_hand():
    g = jnp.array([[1.0, 7.0], [2.0, 8.0], [3.0, -9.0], [100.0, 1.0]])
    np.testing.assert_allclose(reduced(g, 1), [2.5, 4.0])
    np.testing.assert_allclose(reduced(g, 0), np.mean(g, axis=0))


@pytest.mark.parametrize("shape", sorted({goldens.MATRICES[n].shape for n in CASES}))
def test_recorded(shape):
    for name in (n for n in CASES if goldens.MATRICES[n].shape == shape):
        j = goldens.MATRICES[name]
        if CASES[name] is None:
            assert len(j) < 3
        else:
            update = reduced(jnp.asarray(j, jnp.float32), 1)
            assert goldens.error(update, CASES[name], j) < 1e-6


@pytest.mark.parametrize("count", [3, 4, 7])
def test_the_largest_trim_is_the_median(count):
    g = jnp.asarray(np.random.default_rng(count).normal(size=(count, 5)), jnp.float32)
    median = reduced(g, (count - 1) // 2)
    np.testing.assert_allclose(median, np.median(g, axis=0), rtol=1e-6)


def test_hostile_players_are_bounded_by_the_others():
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(5, 20))
    hostile = 1e30 * rng.normal(size=(2, 20))
    update = reduced(jnp.asarray(np.concatenate([honest, hostile]), jnp.float32), 2)
    assert np.all(update <= honest.max(0) + 1e-6)
    assert np.all(update >= honest.min(0) - 1e-6)


def test_absent_players_shrink_the_trim_to_the_median():
    g = jnp.array([[1.0], [2.0], [6.0], [50.0], [9.0]])
    present = jnp.array([True, True, False, True, False])
    np.testing.assert_allclose(reduced(g, 1, present=present), [2.0])
    np.testing.assert_allclose(reduced(g, 2, present=present), [2.0])
    two = jnp.array([True, False, False, True, False])
    np.testing.assert_allclose(reduced(g, 2, present=two), [25.5])
    np.testing.assert_allclose(reduced(g, 1, present=jnp.zeros(5, bool)), [0.0])


def test_contract():
    check_contract(trimmed_mean(1))


def test_complex_parts_are_ordered_separately():
    g = jnp.array([[1 + 9j], [2 + 8j], [3 - 7j]], jnp.complex64)
    update = reduced(g, 1)
    assert_same_types(update, g[0])
    np.testing.assert_array_equal(update, [2 + 8j])


def test_order_of_players_does_not_matter():
    g = jnp.asarray(np.random.default_rng(1).normal(size=(5, 7)), jnp.float32)
    np.testing.assert_allclose(reduced(g, 1), reduced(g[::-1], 1), rtol=1e-6)


def test_leaf_accepts_a_traced_number():
    g = jnp.arange(10.0).reshape(5, 2)
    leaf = trimmed_mean_leaf(g, jnp.ones(5, bool), jnp.asarray(2))
    np.testing.assert_allclose(leaf, [4.0, 5.0])


def test_errors():
    with pytest.raises(ValueError, match=r"`num_trimmed` must be an integer >= 0, got"):
        trimmed_mean(-1)
    sentence = r"more than 2 \* num_trimmed = 4 players, got 3\."
    with pytest.raises(ValueError, match=sentence):
        run(trimmed_mean(2), [gradients(0)])
