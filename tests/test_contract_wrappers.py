"""Public transformations inside optax's wrappers, with schedules, and saved."""

import functools

import jax
import numpy as np
import optax
import orbax.checkpoint
import pytest

import contract
import contract_runs as runs
import properties
import running

WRAPPED = "contest", "prune_to_sparsity", "reset_dormant"
"""Averages, a mask and an optimizer in the state; the rest is of the slow tier."""
SHELLS = contract.each(fast=WRAPPED)
STEPS = 3
ROUNDING = dict(rtol=2e-5, atol=1e-6)  # 1 - decay is rounded to float32 when traced


def _play(tx, entry, params, stacked, **how):
    """Updates and states of a run of the wrapped transformation."""
    step = runs.stepper(tx, entry)
    return runs.scan(step, tx.init(params), params, stacked, **how)


@functools.cache
def played(name):
    """Runs of a transformation by itself and of its wrapped forms, compiled as one."""
    entry = contract.TABLE[name]
    tx = entry.build()

    def run(params, stacked):
        some = [{k: tree[k] for k in ("w",)} for tree in (params, stacked)]
        # An opponent is taken from the last small gradient, so the two are made equal.
        twice = jax.tree.map(lambda g: g[np.array([0, 0])], stacked)
        multi = optax.MultiSteps(tx, every_k_schedule=2)
        found = {
            "alone": _play(tx, entry, params, stacked),
            "injected": _play(runs.injected(entry), entry, params, stacked),
            "part": _play(tx, entry, *some),
            "masked": _play(runs.masked(tx, ("w",)), entry, params, stacked),
            "none": _play(runs.masked(tx, ()), entry, params, stacked),
            "multi": _play(multi, entry, params, twice, move=False),
        }
        if name not in contract.NO_SCHEDULE:
            by_step = runs.scheduled(entry)
            found["scheduled"] = _play(by_step.build(), by_step, params, stacked)
        return found

    arguments = runs.PARAMS, runs.gradients(STEPS)
    return jax.device_get(running.quick_jit(run)(*arguments))


@SHELLS
def test_inject_hyperparams_gives_equal_updates(name):
    found = played(name)
    properties.assert_trees_close(found["injected"][0], found["alone"][0], **ROUNDING)


@contract.each([n for n in contract.TABLE if n not in contract.NO_SCHEDULE], WRAPPED)
def test_constant_schedule_equals_the_constant(name):
    assert runs.scheduled(contract.TABLE[name]).kwargs != contract.TABLE[name].kwargs
    found = played(name)
    properties.assert_trees_close(found["scheduled"][0], found["alone"][0], **ROUNDING)


@SHELLS
def test_masked_touches_only_its_leaves(name):
    found = played(name)
    raw = runs.gradients(STEPS)
    for kind, expected in (
        ("masked", {"w": found["part"][0]["w"], "b": raw["b"]}),
        ("none", raw),
    ):
        properties.assert_trees_close(found[kind][0], expected, rtol=1e-5, atol=1e-6)


@SHELLS
def test_multi_steps_around(name):
    """Two small steps are one step on the mean gradient."""
    found = played(name)
    updates, states = found["multi"]
    expected, inner = runs.at(found["alone"], 0)
    assert not any(np.any(x[0]) for x in jax.tree.leaves(updates))
    properties.assert_trees_close(runs.at(updates, 1), expected, **ROUNDING)
    last = runs.at(states.inner_opt_state, 1)
    properties.assert_trees_close(last, inner, **ROUNDING)


@pytest.mark.parametrize("name", ("correction", "correction given", "scale_by_neat"))
def test_multi_steps_after(name):
    """An optimizer after the transformation gets the mean of its updates."""
    entry = contract.TABLE[name]
    after = optax.MultiSteps(optax.sgd(0.5), 2).gradient_transformation()

    def run(params, stacked):
        chained = optax.chain(entry.build(), after)
        kinds = entry.build(), chained
        return [_play(tx, entry, params, stacked, move=False)[0] for tx in kinds]

    arguments = runs.PARAMS, runs.gradients(2)
    alone, found = jax.device_get(running.quick_jit(run)(*arguments))
    assert not any(np.any(x[0]) for x in jax.tree.leaves(found))
    mean = jax.tree.map(lambda x: -0.5 * np.mean(x, axis=0), alone)
    properties.assert_trees_close(runs.at(found, 1), mean, **ROUNDING)


@SHELLS
def test_checkpoint_round_trip(name, tmp_path):
    state = jax.device_put(runs.at(played(name)["alone"][1], -1))
    if not jax.tree.leaves(state):
        pytest.skip("a state without arrays: nothing to save")
    target = jax.eval_shape(contract.TABLE[name].build().init, runs.PARAMS)
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", target)
    properties.assert_trees_equal(restored, state)
