"""A lone CPU device holds few of the temporaries of many small leaves at once."""

import jax
import jax.numpy as jnp
import pytest

import player_table as table
import running
from neat_optax import _blocks

LEAVES, SHAPE = 16, (61, 67)  # no other test has arrays of such a shape
STACKED = LEAVES * table.COUNT * SHAPE[0] * SHAPE[1] * 4
SINGLE = STACKED / table.COUNT
"""NEAT keeps the sum of all players as two floats, for each leaf in both passes."""
STORING = (*table.KEEPS_PLAYERS, "aggregate_shared", "chained", "graddrop")
"""Arrays of each player before the reduction, or random numbers for every entry."""
NAMES = [n for n in table.TABLE if n not in (*STORING, "hold_absent")]


@pytest.fixture
def lone_cpu(monkeypatch):
    monkeypatch.setattr(_blocks, "in_blocks", lambda: True)
    monkeypatch.setattr(_blocks, "TURN", SHAPE[0] * SHAPE[1])


@pytest.mark.skipif(
    jax.__version_info__ < (0, 10, 2),
    reason="the compiler of JAX 0.10.0 holds all temporaries, whatever waits for what",
)
@table.each(NAMES, fast=("pcgrad",))
def test_temporaries_of_many_small_leaves(name, lone_cpu):
    del lone_cpu
    tx, step = table.TABLE[name].stepper()
    params = [jax.ShapeDtypeStruct(SHAPE, jnp.float32)] * LEAVES
    stack = jax.ShapeDtypeStruct((table.COUNT, *SHAPE), jnp.float32)
    state = jax.eval_shape(tx.init, params)
    compiler = jax.jit if "player" in name else running.quick_jit  # NEAT is fused
    update = compiler(lambda *arguments: step(*arguments)[0])
    lowered = update.lower([stack] * LEAVES, state, params)
    held = lowered.compile().memory_analysis().temp_size_in_bytes
    assert held < (5 * SINGLE if "player" in name else STACKED / 2 + SINGLE)
