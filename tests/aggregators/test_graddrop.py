import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aggregator_goldens as goldens
import running
import stepping
from neat_optax.aggregators._graddrop import graddrop, graddrop_leaf
from properties import assert_same_types
from stepping import gradients

TX = graddrop(key=0)
SEATS, COLUMNS = 5, 50

CASES = goldens.DATA["random_aggregators"]["torchjd.GradDrop.float64"]["cases"]


def sums(j):
    return np.maximum(j, 0).sum(axis=0), np.minimum(j, 0).sum(axis=0)


def test_by_hand():
    g, none = np.array([[1.0, 1.0], [-3.0, 2.0]]), np.zeros(2)

    def drop(draws, leak):
        everyone = np.ones(2, bool)
        return stepping.call(graddrop_leaf, g, everyone, np.array(draws), leak)

    # the first coordinate is positive with probability 1/4, the second always
    low = drop([0.2, 0.999], none)
    high = drop([0.3, 0.999], none)
    np.testing.assert_allclose(low, [1.0, 3.0])
    np.testing.assert_allclose(high, [-3.0, 3.0])
    leaked = drop([0.3, 0.5], np.array([0.5, 0.0]))
    np.testing.assert_allclose(leaked, [-2.5, 3.0])


def padded(j, **given):
    """The update of rows with absent ones behind, so that their shape is one."""
    count, size = np.shape(j)
    rows = np.pad(np.asarray(j, np.float32), ((0, SEATS - count), (0, COLUMNS - size)))
    update, state = stepping.step(TX, rows, present=np.arange(SEATS) < count, **given)
    assert not np.any(update[size:])
    return update[:size], state


def test_recorded_draws_are_possible():
    """Each coordinate is one of two sums, and so are TorchJD's draws."""
    for name in ("gauss_5x20_s0", "scales_5x20", "opposite_2x3", "zero_row_3x10"):
        j = goldens.MATRICES[name]
        up, down = sums(j)
        np.testing.assert_allclose(up, CASES[name]["positive_sum"], atol=1e-12)
        for drawn in (padded(j)[0], CASES[name]["seeds"]["0"]["vector"]):
            distance = np.minimum(np.abs(drawn - up), np.abs(drawn - down))
            allowed = 1e-5 * np.maximum(np.abs(j).max(0), 1e-30)
            assert np.all(distance <= allowed), name


def test_probabilities():
    """Over many draws the mean is the recorded expectation."""
    name = "gauss_5x20_s0"
    j = goldens.MATRICES[name].astype(np.float32)
    draws, start = 4000, np.zeros(j.shape[1], np.float32)
    stacked = np.broadcast_to(j, (draws, *j.shape))
    updates, _, _ = running.run(graddrop(key=3), stacked, start, move=False)
    up, down = sums(np.asarray(j, float))
    share = np.mean(updates == updates.max(0), axis=0)
    expected = up / (up - down)
    mixed = (up > 0) & (down < 0)
    noise = 5 * np.sqrt(0.25 / draws)
    np.testing.assert_allclose(share[mixed], expected[mixed], atol=noise)
    mean = np.mean(updates, axis=0)
    np.testing.assert_allclose(mean, CASES[name]["expectation"], atol=noise * 10)


def test_leak_is_a_mixture_with_the_sum():
    """One draw with three leaks: the schedule of a state whose step is set."""
    leaks = np.array([0.0, 0.3, 1.0], np.float32)
    tx, g = graddrop(lambda step: jnp.asarray(leaks)[step], key=1), gradients(0)["w"]
    start = jax.jit(tx.init)(stepping.like(g))
    plain, leaky, all_of_it = (
        stepping.step(tx, g, start._replace(step=np.int32(step)))[0]
        for step in range(3)
    )
    total = np.sum(g, axis=0)
    np.testing.assert_allclose(all_of_it, total, rtol=1e-5, atol=1e-6)
    mixed = 0.3 * total + 0.7 * plain
    np.testing.assert_allclose(leaky, mixed, rtol=1e-5, atol=1e-6)


def test_absent_players():
    stepping.check_absent_players(graddrop((0.0, 0.5, 1.0), key=jax.random.key(0)))


def test_draws_change_and_repeat():
    g = np.random.default_rng(0).normal(size=(3, 40))
    first, state = padded(g)
    again, _ = padded(g)
    later, _ = padded(g, state=state)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)


def test_parts_of_complex_leaves_are_drawn_separately():
    g = np.array([[1 + 1j] * 64, [-1 - 1j] * 64], np.complex64)
    update, _ = stepping.step(TX, g)
    assert_same_types(update, g[0])
    assert set(np.unique(update)) == {1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j}


def test_counts_dropped_players():
    g = {"a": None, "b": stepping.replace(np.ones((3, 2)), 1, np.inf)}
    update, state = stepping.step(TX, g)
    np.testing.assert_array_equal(update["b"], [2.0, 2.0])
    assert int(state.dropped) == 1
    assert TX.update({}, TX.init({}))[0] == {}


def test_very_short_gradients_are_dropped_as_well():
    update, _ = padded(np.array([[1.0] * COLUMNS, [-1.0] * COLUMNS]) * 1e-36)
    np.testing.assert_allclose(np.unique(update), [-1e-36, 1e-36], rtol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"`leak` must be in \[0, 1\], got 1.5\."):
        graddrop(1.5, key=0)
    with pytest.raises(ValueError, match=r"`leak` must be in \[0, 1\], got -1.0\."):
        graddrop((0.0, -1.0), key=0)
    with pytest.raises(ValueError, match=r"`leak` must have one entry for each of the"):
        stepping.step(graddrop((0.0, 1.0), key=0), gradients(0))
    with pytest.raises(ValueError, match=r"must have a leading player axis of one"):
        params = stepping.like(gradients(0))
        jax.eval_shape(TX.update, {**params, "b": np.float32(0)}, TX.init(params))
