"""Opponents that are never stored: exact for two players, and small in memory."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neat_optax as neo
from neat_optax import _blocks, _stacked
from neat_optax.players import _means
from oracle import player_contest as player_oracle

seat = jax.jit(_means.seat, static_argnums=2)


def seats(count, shares=None, include_self=False, present=None):
    shares = np.ones(count, np.float32) if shares is None else np.float32(shares)
    present = np.ones(count, bool) if present is None else np.array(present)
    return seat(present, shares, include_self)


def opponent_of(g, index, chosen):
    """The opponent itself: coefficients that leave nothing else of the sum."""
    count = len(g)
    only = np.float32(np.arange(count) == index)
    return _means.combine(g, chosen, only, -only, only)


def align(g, chosen, metric=None):
    return _means.align(g, chosen, _stacked.squared_norms(g), metric)


@pytest.mark.parametrize("ratio", [1.0, 1e8, 1e-8])
@pytest.mark.parametrize("size", [1, 1000])
def test_between_two_the_opponent_is_the_other_bit_for_bit(ratio, size):
    rng = np.random.default_rng(0)
    g = np.float32(rng.normal(size=(2, size)) * [[ratio], [1.0]])
    for i in (0, 1):
        np.testing.assert_array_equal(opponent_of(g, i, seats(2)), g[1 - i])


@pytest.mark.parametrize("ratio", [1e8, 1e-8])
def test_alignment_of_two_is_with_the_other(ratio):
    """One entry each, so that the products are rounded once."""
    g = np.float32([[3.1 * ratio], [-0.7]])
    raw, in_metric = align(g, seats(2))
    assert in_metric is None
    np.testing.assert_array_equal(raw.oo, (g * g)[::-1, 0])
    np.testing.assert_array_equal(raw.go, (g * g[::-1])[:, 0])


@pytest.mark.parametrize("shares", [(0.3, 0.7), (1e-3, 5.0)])
def test_shares_of_two_cancel_to_within_rounding(shares):
    rng = np.random.default_rng(0)
    g = np.float32(rng.normal(size=(2, 100)) * [[1e8], [1.0]])
    for i in (0, 1):
        found = opponent_of(g, i, seats(2, shares))
        np.testing.assert_allclose(found, g[1 - i], rtol=1e-6)


@pytest.mark.parametrize("count", [15, 17, 33])
def test_totals_around_the_unrolled_passes(count):
    g = np.float32(np.random.default_rng(count).normal(size=(count, 3)))
    total = jax.jit(_means._total)(g, seats(count))
    exact = np.asarray(g, np.float64).sum(axis=0)
    both = np.asarray(total.high, np.float64) + np.asarray(total.low, np.float64)
    np.testing.assert_allclose(both, exact, rtol=1e-12, atol=1e-12)


def test_the_sum_of_two_has_twice_the_precision():
    high, low = _means._two_sum(jnp.float32(1e8), jnp.float32(1.0))
    assert (float(high), float(low)) == (1e8, 1.0)


def test_who_sits_where():
    """Shares 1, 2 and 3, the last one not finite."""
    present = [True, True, False]
    others = seats(3, (1.0, 2.0, 3.0), present=present)
    np.testing.assert_array_equal(others.shares, [1.0, 2.0, 0.0])
    np.testing.assert_array_equal(others.own, [1.0, 2.0, 0.0])
    np.testing.assert_allclose(others.inverse, [1 / 2, 1.0, 1 / 3])
    everyone = seats(3, (1.0, 2.0, 3.0), include_self=True, present=present)
    np.testing.assert_array_equal(everyone.own, 0.0)
    np.testing.assert_allclose(everyone.inverse, 1 / 3)
    np.testing.assert_array_equal(seats(1).inverse, 0.0)


def test_the_metric_divides_gradient_and_opponent():
    g, metric = np.float32([[1.0, 2.0], [3.0, -4.0]]), np.float32([0.5, 4.0])
    raw, inside = align(g, seats(2), metric)
    np.testing.assert_allclose(raw.go, [-5.0, -5.0])
    np.testing.assert_allclose(inside.gg, [4.0 + 0.25, 36.0 + 1.0])
    np.testing.assert_allclose(inside.oo, inside.gg[::-1])
    np.testing.assert_allclose(inside.go, [12.0 - 0.5] * 2)


@pytest.mark.slow
def test_blocks_keep_no_array_of_all_players(monkeypatch):
    """As on a lone CPU; shapes that no other test has, since traces are kept."""
    monkeypatch.setattr(_blocks, "in_blocks", lambda: True)
    tx = neo.player_contest(neo.opponents.others_mean(), neo.neat_rules(1.0))

    def compiled(count, *shape):
        param = jax.ShapeDtypeStruct(shape, np.float32)
        stack = jax.ShapeDtypeStruct((count, *shape), np.float32)
        state = jax.eval_shape(tx.init, param)
        return jax.jit(tx.update).lower(stack, state, metric=param).compile()

    small, large = (
        compiled(17, 7, size // 7 + 11) for size in (2 * _blocks.COLUMNS, 2**18)
    )
    memory = [step.memory_analysis().temp_size_in_bytes for step in (small, large)]
    assert memory[0] == memory[1]  # blocks, whatever the size
    assert memory[1] < 17 * 4 * 2**18
    rng, shape = np.random.default_rng(0), (7, 2 * _blocks.COLUMNS // 7 + 11)
    g = rng.normal(size=(17, *shape)).astype(np.float32)
    metric = rng.uniform(0.5, 2, size=shape).astype(np.float32)
    update, _ = small(g, tx.init(g[0]), metric=metric)
    inside = (g.astype(np.float64) / metric).reshape(17, -1)
    exact = player_oracle.neat(inside, player_oracle.others_mean).reshape(shape)
    assert np.abs(update - metric * exact).max() < 1e-5


ONE_DEVICE = """
    import jax, jax.numpy as jnp, numpy as np
    import neat_optax as neo
    from oracle import player_contest as player_oracle
    from neat_optax import _blocks

    assert jax.device_count() == 1
    jax.config.update("jax_numpy_rank_promotion", "raise")
    tx = neo.player_contest(neo.opponents.others_mean(), neo.neat_rules(1.0))

    def words(count, size):
        stack = jax.ShapeDtypeStruct((count, size), jnp.float32)
        param = jax.ShapeDtypeStruct((size,), jnp.float32)
        lowered = jax.jit(tx.update).lower(stack, jax.eval_shape(tx.init, param), param)
        found = lowered.compile().memory_analysis()
        return found.temp_size_in_bytes, found.output_size_in_bytes

    size = 2**22
    temporary, output = words(32, size)
    print("bytes", temporary, output)
    assert temporary + output <= 2 * size * 4 + 2**20
    assert temporary == words(32, size // 8)[0]  # blocks, whatever the size

    count, shape = 17, (7, 2 * _blocks.COLUMNS // 7 + 11)
    rng = np.random.default_rng(0)
    g = rng.normal(size=(count, *shape)).astype(np.float32)
    metric = rng.uniform(0.5, 2, size=shape).astype(np.float32)
    update, _ = tx.update(jnp.asarray(g), tx.init(g[0]), metric=jnp.asarray(metric))
    inside = (g.astype(np.float64) / metric).reshape(count, -1)
    exact = player_oracle.neat(inside, player_oracle.others_mean).reshape(shape)
    assert np.abs(update - metric * exact).max() < 1e-5
"""


@pytest.mark.slow
def test_on_one_device_it_works_block_by_block():
    """What `conftest` hides with its eight devices: no array of all players."""
    folder = os.path.dirname(os.path.dirname(__file__))
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ONE_DEVICE)],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": folder},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
