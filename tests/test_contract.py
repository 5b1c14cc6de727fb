"""The same questions to every public transformation: state, dtypes, and answers."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import contract
import neat_optax as neo
import properties

EVERY = contract.each()
STEPS = 3
ROUNDING = dict(rtol=2e-5, atol=1e-6)  # 1 - 0.999**t keeps five digits in float32


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
        "aggregate_shared",
        "monitor_update_conflict",
        "player_contest",
        "player_neat_correction",
    }  # their gradients have an axis more: test_player_contract.py
    assert transformations - {"from_config"} - with_players == listed


@EVERY
def test_state_is_stable_under_scan(name):
    tx, step = contract.TABLE[name].stepper()
    stacked = contract.gradients(300)

    def body(carry, gradient):
        params, state = carry
        update, state = step(gradient, state, params)
        return (optax.apply_updates(params, update), state), update

    params = contract.params_like(np.float32)
    state = tx.init(params)
    (_, after), updates = jax.jit(lambda carry: jax.lax.scan(body, carry, stacked))(
        (params, state)
    )
    properties.assert_same_types(after, state)
    properties.assert_finite((after, updates))


@EVERY
def test_the_first_state_can_be_donated_with_the_parameters(name):
    tx, _ = contract.TABLE[name].stepper()
    params = contract.params_like(np.float32)
    properties.assert_buffers_are_apart((params, tx.init(params)))


@EVERY
def test_jit_equals_no_jit_and_traces_once(name):
    tx, step = contract.TABLE[name].stepper()
    stacked = contract.gradients(STEPS)
    params = contract.params_like(np.float32)
    traces = []

    @jax.jit
    def jitted(gradient, state, params):
        traces.append(None)
        return step(gradient, state, params)

    compiled = contract.play(jitted, tx.init(params), params, stacked, STEPS)
    eager = contract.play(step, tx.init(params), params, stacked, STEPS)
    assert len(traces) == 1
    properties.assert_trees_close(compiled, eager, **ROUNDING)


@EVERY
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_dtypes_are_kept_under_cond_too(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        tx, step = contract.TABLE[name].stepper()
        params = contract.params_like(dtype)
        state = tx.init(params)

        def maybe(flag, gradient, state):
            keep = lambda: (gradient, state)  # noqa: E731
            return jax.lax.cond(flag, lambda: step(gradient, state, params), keep)

        update, after = jax.eval_shape(maybe, True, params, state)
        properties.assert_same_types(update, params)
        properties.assert_same_types(after, state)


@EVERY
def test_low_precision_gradients_do_not_change_the_states_dtype(name):
    tx, step = contract.TABLE[name].stepper()
    params = contract.params_like(np.float32)
    state = tx.init(params)
    _, after = jax.eval_shape(step, contract.params_like("bfloat16"), state, params)
    properties.assert_same_types(after, state)


ODD = {
    "scalar": np.array(2.0, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "none": None,
    "nested": {"list": [(np.ones(2, np.float32),)]},
}


@EVERY
@pytest.mark.parametrize("params", [ODD, {}, [None]], ids=["odd", "empty", "none"])
def test_odd_leaves(name, params):
    tx, step = contract.jitted(name)
    params = jax.tree.map(jnp.asarray, params)
    state = tx.init(params)
    update, after = step(params, state, params)
    properties.assert_same_types(update, params)
    properties.assert_same_types(after, state)
    properties.assert_finite((update, after))


@EVERY
def test_zero_gradients_give_finite_answers(name):
    tx, step = contract.jitted(name)
    params = contract.params_like(np.float32)
    zeros = jax.tree.map(lambda x: jnp.zeros((STEPS, *x.shape)), params)
    properties.assert_finite(contract.play(step, tx.init(params), params, zeros, STEPS))


@EVERY
def test_complex_leaves(name):
    tx, step = contract.jitted(name)
    params = contract.params_like(np.complex64)
    twice = contract.gradients(2)
    stacked = jax.tree.map(lambda g: g * (1 + 2j), twice)
    state = tx.init(params)
    updates, after = contract.play(step, state, params, stacked, 2)
    properties.assert_same_types(contract.at(updates, 0), params)
    properties.assert_same_types(after, state)
    properties.assert_finite((updates, after))


@EVERY
def test_unknown_extra_arguments_are_ignored(name):
    """They leave no trace in the traced program."""
    tx, step = contract.TABLE[name].stepper()
    params = contract.params_like(np.float32)
    state = tx.init(params)

    def with_more(gradient, state, params):
        known = contract.TABLE[name].extra(gradient)
        more = {"unknown": object(), "loss": 1.0}
        return tx.update(gradient, state, params, **known, **more)

    programs = [
        str(jax.make_jaxpr(function)(params, state, params))
        for function in (step, with_more)
    ]
    assert programs[0] == programs[1]


@contract.each(contract.CONTESTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30], ids=str)
def test_gradients_that_are_not_finite_leave_no_trace(name, bad):
    tx, step = contract.jitted(name)
    params = contract.params_like(np.float32)
    stacked = contract.gradients(3)
    stacked["w"] = stacked["w"].at[1, 2, 1].set(bad)
    updates, state = contract.play(step, tx.init(params), params, stacked, 3)
    properties.assert_finite((updates, state))


@EVERY
@pytest.mark.parametrize("dtype", [np.int32, np.bool_])
def test_integer_leaves_are_refused(name, dtype):
    tx, step = contract.TABLE[name].stepper()
    params = contract.params_like(dtype)
    with pytest.raises(ValueError, match=r"must have floating or complex leaves, got"):
        jax.eval_shape(step, params, tx.init(params), params)


@EVERY
def test_player_gradients_are_refused(name):
    tx, step = contract.TABLE[name].stepper()
    params = contract.params_like(np.float32)
    players = contract.gradients(2)
    state = tx.init(params)
    raises = pytest.raises(ValueError, match=r"leading player axis must be reduced")
    with jax.numpy_rank_promotion("allow"), raises:
        jax.eval_shape(step, players, state, params)
