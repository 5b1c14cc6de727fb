"""Reductions of players inside optax's wrappers, mapped over seeds, and saved."""

import functools

import jax
import numpy as np
import optax
import orbax.checkpoint

import player_runs as runs
import player_table as table
import properties
import running
from contract_runs import scan
from neat_optax import aggregators

WITH_NUMBERS = [name for name in table.TABLE if name not in table.NO_NUMBER]
WRAPPED = "pcgrad", "m_config"
"""A key and arrays of players in the state; the rest is of the slow tier."""
SHELLS = table.each(fast=WRAPPED)
STEPS = 2


@functools.cache
def played(name):
    """Runs of a reduction by itself and of its wrapped forms, compiled as one."""
    entry = table.TABLE[name]
    tx = entry.build()
    kinds = {"alone": tx, "followed": optax.chain(tx, runs.AFTER)}
    if name in WITH_NUMBERS:
        kinds["injected"] = runs.injected(entry)

    def run(params, stacked):
        found = {}
        for kind, around in kinds.items():
            step = functools.partial(around.update, **entry.extra)
            start = around.init(params)
            found[kind] = scan(step, start, params, stacked, move=False)
        return found

    return running.quick_jit(run)(runs.PARAMS, runs.gradients(STEPS))


@table.each(WITH_NUMBERS, WRAPPED)
def test_inject_hyperparams_gives_equal_updates(name):
    found = played(name)
    properties.assert_trees_close(
        found["injected"][0], found["alone"][0], **runs.ROUNDING
    )


@SHELLS
def test_multi_steps_after(name):
    """An optimizer after the reduction gets the mean of its updates."""
    alone, updates = (played(name)[kind][0] for kind in ("alone", "followed"))
    assert not any(np.any(x[0]) for x in jax.tree.leaves(updates))
    mean = jax.tree.map(lambda x: -0.5 * np.mean(x, axis=0), alone)
    second = jax.tree.map(lambda x: x[1], updates)
    properties.assert_trees_close(second, mean, **runs.ROUNDING)


@SHELLS
def test_checkpoint_round_trip(name, tmp_path):
    """Typed random keys included."""
    state = jax.tree.map(lambda x: x[-1], played(name)["alone"][1])
    target = jax.eval_shape(table.TABLE[name].build().init, runs.PARAMS)
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", target)
    properties.assert_trees_equal(runs.plain(restored), runs.plain(state))


SEEDED = {
    "random": aggregators.random,
    "pcgrad": aggregators.pcgrad,
    "graddrop": aggregators.graddrop,
}


@table.each(SEEDED, fast=("random",))
def test_vmap_over_seeds_equals_a_loop(name):
    gradients = runs.at(runs.gradients(1), 0)

    def run(key):
        tx = SEEDED[name](key=key)
        return tx.update(gradients, tx.init(runs.PARAMS), runs.PARAMS)[0]

    keys = jax.random.split(jax.random.key(0), 3)
    both = running.quick_jit(lambda keys: (jax.vmap(run)(keys), jax.lax.map(run, keys)))
    together, alone = jax.device_get(both(keys))
    properties.assert_trees_close(together, alone, **runs.ROUNDING)
    assert np.any(np.abs(together["w"][0] - together["w"][1]) > 1e-3)
