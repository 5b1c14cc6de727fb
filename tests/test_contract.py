"""The same questions to every public transformation of single gradients.

Here to those of `conflict`, `transforms`, `compat` and `games`; sparsity, continual
learning and plasticity have files of their own, so that workers share the compilation.
"""

import functools
import inspect

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import contract
import contract_runs as runs
import neat_optax as neo
import properties
import running

HERE = contract.select("conflict", "transforms", "compat", "games")
EAGER = ("contest", "prune_to_sparsity")
ROUNDING = dict(rtol=2e-5, atol=1e-6)  # 1 - 0.999**t keeps five digits in float32


@contract.each(HERE, contract.SHELLS)
def test_one_run_answers_what_needs_numbers(name, subtests):
    runs.check_run(name, subtests)


@contract.each(HERE, contract.SHELLS)
def test_types_and_refusals_are_known_after_tracing(name, subtests):
    runs.check_types(name, subtests)


@pytest.mark.parametrize("name", [n for n in contract.TABLE if runs.inner(n)])
def test_extra_arguments_reach_what_is_inside(name):
    runs.check_forwards(name)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "complex64"])
@contract.each([n for n in contract.TABLE if n not in contract.REAL], fast=())
def test_other_dtypes_in_64_bit_mode(name, dtype):
    runs.check_dtype(*contract.TABLE[name].stepper(), dtype, wide=True)


@contract.each(fast=())
def test_one_run_with_optimized_machine_code(name, subtests):
    runs.check_run(name, subtests, quick=False)


@pytest.mark.parametrize("number", [float, np.float32])
@contract.each([n for n in contract.TABLE if n not in contract.NO_SCHEDULE], fast=())
def test_schedules_may_return_what_is_no_array(name, number):
    entry, params = contract.TABLE[name], runs.PARAMS
    stacked, found = runs.gradients(4), []
    for kind in (jnp.float32, number):
        tx, step = runs.scheduled(entry, kind).stepper()
        play = lambda state, g, step=step: runs.scan(step, state, params, g)  # noqa: E731
        found.append(running.quick_jit(play)(tx.init(params), stacked))
    properties.assert_trees_close(*found, **ROUNDING)


@contract.each(fast=EAGER)
@running.quickly()
def test_jit_equals_no_jit(name):
    tx, step = contract.TABLE[name].stepper()
    params = {"w": jnp.asarray(runs.PARAMS["w"])}
    stacked = runs.gradients(2, like=params)
    state = tx.init(params)
    play = running.quick_jit(functools.partial(runs.scan, step))
    expected, _ = play(state, params, stacked)
    for index in range(2):
        update, state = step(runs.at(stacked, index), state, params)
        params = optax.apply_updates(params, update)
        wanted = runs.at(expected, index)
        properties.assert_trees_close(update, wanted, **ROUNDING)


def test_the_table_lists_every_public_transformation():
    transformations = {
        name
        for name, value in vars(neo).items()
        if inspect.isfunction(value)
        and inspect.signature(value, eval_str=True).return_annotation
        is optax.GradientTransformationExtraArgs
    }
    listed = {entry.factory.__name__ for entry in contract.TABLE.values()}
    with_players = {
        "accumulate_players",
        "aggregate_shared",
        "hold_absent",
        "monitor_update_conflict",
        "player_contest",
        "player_neat_correction",
        "require_reduced",
    }  # their gradients have an axis more: test_player_contract.py
    assert transformations - {"from_config"} - with_players <= listed


def test_every_name_is_asked_in_one_file():
    elsewhere = contract.select("sparsity", "continual", "plasticity")
    assert {*HERE, *elsewhere} == set(contract.TABLE)
    assert set(contract.SHELLS) <= set(contract.TABLE)
