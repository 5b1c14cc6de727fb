import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aggregator_goldens as goldens
from neat_optax.aggregators._graddrop import graddrop, graddrop_leaf
from player_contract import PARAMS, check_contract, gradients, run
from properties import assert_same_types

CASES = goldens.DATA["random_aggregators"]["torchjd.GradDrop.float64"]["cases"]


def sums(j):
    return np.maximum(j, 0).sum(axis=0), np.minimum(j, 0).sum(axis=0)


def test_by_hand():
    g = jnp.array([[1.0, 1.0], [-3.0, 2.0]])
    both, none = jnp.ones(2, bool), jnp.zeros(2)
    # the first coordinate is positive with probability 1/4, the second always
    low = graddrop_leaf(g, both, jnp.array([0.2, 0.999]), none)
    high = graddrop_leaf(g, both, jnp.array([0.3, 0.999]), none)
    np.testing.assert_allclose(low, [1.0, 3.0])
    np.testing.assert_allclose(high, [-3.0, 3.0])
    leaked = graddrop_leaf(g, both, jnp.array([0.3, 0.5]), jnp.array([0.5, 0.0]))
    np.testing.assert_allclose(leaked, [-2.5, 3.0])


@pytest.mark.parametrize(
    "name", ["gauss_5x20_s0", "scales_5x20", "opposite_2x3", "zero_row_3x10"]
)
def test_recorded_draws_are_possible(name):
    """Each coordinate is one of two sums, and so are TorchJD's draws."""
    j = goldens.MATRICES[name]
    up, down = sums(j)
    np.testing.assert_allclose(up, CASES[name]["positive_sum"], atol=1e-12)
    tx = graddrop(key=0)
    update, _ = tx.update(jnp.asarray(j, jnp.float32), tx.init(jnp.zeros(j.shape[1])))
    for drawn in (update, CASES[name]["seeds"]["0"]["vector"]):
        distance = np.minimum(np.abs(drawn - up), np.abs(drawn - down))
        assert np.all(distance <= 1e-5 * np.maximum(np.abs(j).max(0), 1e-30))


def test_probabilities():
    """Over many draws the mean is the recorded expectation."""
    name = "gauss_5x20_s0"
    j = jnp.asarray(goldens.MATRICES[name], jnp.float32)
    tx = graddrop(key=3)
    draws, state = 4000, tx.init(j[0])

    def body(state, _):
        update, state = tx.update(j, state)
        return state, update

    _, updates = jax.jit(lambda s: jax.lax.scan(body, s, None, draws))(state)
    up, down = sums(np.asarray(j, float))
    share = np.mean(np.asarray(updates) == np.asarray(updates).max(0), axis=0)
    expected = up / (up - down)
    mixed = (up > 0) & (down < 0)
    noise = 5 * np.sqrt(0.25 / draws)
    np.testing.assert_allclose(share[mixed], expected[mixed], atol=noise)
    mean = np.mean(np.asarray(updates), axis=0)
    np.testing.assert_allclose(mean, CASES[name]["expectation"], atol=noise * 10)


def test_leak_is_a_mixture_with_the_sum():
    g = gradients(0)
    plain, _ = run(graddrop(key=1), [g])
    leaky, _ = run(graddrop(0.3, key=1), [g])
    all_of_it, _ = run(graddrop(1.0, key=1), [g])
    for name, leaf in g.items():
        total = np.sum(leaf, axis=0)
        np.testing.assert_allclose(all_of_it[name], total, rtol=1e-5, atol=1e-6)
        mixed = 0.3 * total + 0.7 * plain[name]
        np.testing.assert_allclose(leaky[name], mixed, rtol=1e-5, atol=1e-6)


def test_contract():
    check_contract(graddrop((0.0, 0.5, 1.0), key=jax.random.key(0)))


def test_draws_change_and_repeat():
    g = gradients(0)
    first, state = graddrop(key=0).update(g, graddrop(key=0).init(PARAMS))
    again, _ = graddrop(key=0).update(g, graddrop(key=0).init(PARAMS))
    later, _ = graddrop(key=0).update(g, state)
    np.testing.assert_array_equal(first["w"], again["w"])
    assert not np.array_equal(first["w"], later["w"])


def test_parts_of_complex_leaves_are_drawn_separately():
    g = jnp.array([[1 + 1j] * 64, [-1 - 1j] * 64], jnp.complex64)
    tx = graddrop(key=0)
    update, _ = tx.update(g, tx.init(g[0]))
    assert_same_types(update, g[0])
    assert set(np.unique(update)) == {1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j}


def test_counts_dropped_players():
    g = {"a": None, "b": jnp.ones((3, 2)).at[1].set(jnp.inf)}
    tx = graddrop(key=0)
    update, state = tx.update(g, tx.init({"a": None, "b": jnp.ones(2)}))
    np.testing.assert_array_equal(update["b"], [2.0, 2.0])
    assert int(state.dropped) == 1
    assert tx.update({}, tx.init({}))[0] == {}


def test_very_short_gradients_are_dropped_as_well():
    g = jnp.array([[1.0] * 64, [-1.0] * 64]) * 1e-36
    tx = graddrop(key=0)
    update, _ = tx.update(g, tx.init(g[0]))
    np.testing.assert_allclose(np.unique(update), [-1e-36, 1e-36], rtol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"`leak` must be in \[0, 1\], got 1.5\."):
        graddrop(1.5, key=0)
    with pytest.raises(ValueError, match=r"`leak` must be in \[0, 1\], got -1.0\."):
        graddrop((0.0, -1.0), key=0)
    with pytest.raises(ValueError, match=r"`leak` must have one entry for each of the"):
        run(graddrop((0.0, 1.0), key=0), [gradients(0)])
    with pytest.raises(ValueError, match=r"must have a leading player axis of one"):
        graddrop(key=0).update(PARAMS, graddrop(key=0).init(PARAMS))
