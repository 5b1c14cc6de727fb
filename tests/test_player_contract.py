"""The same questions to every reduction of players: state, dtypes, and answers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import player_table as table
import properties

EVERY = table.each()
STEPS = 3
ROUNDING = dict(rtol=2e-5, atol=1e-5)


def test_the_table_lists_every_public_factory():
    listed = {entry.factory.__name__ for entry in table.TABLE.values()}
    found = table.public_factories()
    in_aggregators = found["neat_optax.aggregators"] - set(table.NOT_REDUCING)
    assert in_aggregators <= listed
    assert {name for name in found["neat_optax"] if "player" in name} <= listed
    assert {"monitor_update_conflict", "aggregate_shared"} <= listed


def start(name):
    tx, step = table.jitted(name)
    params = table.params_like(np.float32)
    return tx, step, params, table.gradients(STEPS)


@EVERY
def test_state_is_stable_under_scan_and_one_trace_serves_a_run(name):
    tx, step, params, stacked = start(name)
    state = tx.init(params)

    def body(state, gradients):
        update, state = step(gradients, state, params)
        return state, update

    shapes = jax.eval_shape(lambda s, g: jax.lax.scan(body, s, g), state, stacked)
    properties.assert_same_types(shapes[0], state)
    before = table.TRACES[name]
    updates, after = table.play(step, state, params, stacked, STEPS)
    assert table.TRACES[name] <= max(before, 1)
    properties.assert_same_types(after, state)
    properties.assert_same_types(table.at(updates, 0), params)
    properties.assert_finite((table.plain(after), updates))


@EVERY
def test_the_first_state_can_be_donated_with_the_parameters(name):
    tx, _, params, _ = start(name)
    properties.assert_buffers_are_apart((params, tx.init(params)))


@table.each([n for n in table.TABLE if n not in table.IN_OTHER_TESTS])
def test_jit_equals_no_jit(name):
    tx, step, params, stacked = start(name)
    state = tx.init(params)
    compiled, after = step(table.at(stacked, 0), state, params)
    _, eager_step = table.TABLE[name].stepper()
    eager, eager_after = eager_step(table.at(stacked, 0), state, params)
    properties.assert_trees_close(eager, compiled, **ROUNDING)
    properties.assert_trees_close(
        table.plain(eager_after), table.plain(after), **ROUNDING
    )


@EVERY
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_dtypes_are_kept_under_cond_too(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        tx, step = table.TABLE[name].stepper()
        params = table.params_like(dtype)
        state = tx.init(params)
        gradients = table.at(table.gradients(1, params), 0)

        def maybe(flag, gradients, state):
            keep = lambda: (params, state)  # noqa: E731
            return jax.lax.cond(flag, lambda: step(gradients, state, params), keep)

        update, after = jax.eval_shape(maybe, True, gradients, state)
        properties.assert_same_types(update, params)
        properties.assert_same_types(after, state)


@EVERY
def test_low_precision_gradients_do_not_change_the_states_dtype(name):
    tx, step = table.TABLE[name].stepper()
    state = tx.init(table.params_like(np.float32))
    low = table.params_like("bfloat16")
    gradients = table.at(table.gradients(1, low), 0)
    params = table.params_like(np.float32)
    _, after = jax.eval_shape(step, gradients, state, params)
    properties.assert_same_types(after, state)


ODD = {
    "w": jnp.array(2.0),
    "b": {
        "empty": jnp.zeros((0, 3)),
        "none": None,
        "masked": optax.MaskedNode(),
        "nested": [(jnp.ones(2),)],
    },
}
EMPTY = {"w": {}, "b": [None]}


@EVERY
@pytest.mark.parametrize("params", [ODD, EMPTY], ids=["odd", "empty"])
def test_odd_leaves(name, params):
    tx, step = table.TABLE[name].stepper()
    state = tx.init(params)
    gradients = table.at(table.gradients(1, params), 0)
    update, after = jax.eval_shape(step, gradients, state, params)
    properties.assert_same_types(update, params)
    properties.assert_same_types(after, state)


@EVERY
def test_zero_gradients_give_zero(name):
    """And finite states; what follows in a chain sees zero."""
    tx, step, params, stacked = start(name)
    zeros = jax.tree.map(jnp.zeros_like, stacked)
    updates, state = table.play(step, tx.init(params), params, zeros, 2)
    properties.assert_finite(table.plain(state))
    assert not any(np.any(x) for x in jax.tree.leaves(updates))


@EVERY
def test_unknown_extra_arguments_are_ignored(name):
    """They leave no trace in the traced program."""
    tx, step = table.TABLE[name].stepper()
    params = table.params_like(np.float32)
    state, gradients = tx.init(params), table.at(table.gradients(1), 0)

    def with_more(gradients, state, params):
        extra = table.TABLE[name].extra
        return tx.update(gradients, state, params, unknown=object(), value=1.0, **extra)

    programs = [
        str(jax.make_jaxpr(function)(gradients, state, params))
        for function in (step, with_more)
    ]
    assert programs[0] == programs[1]


@EVERY
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_a_player_that_is_not_finite_leaves_no_trace(name, bad):
    """It is dropped for one step, and no later update depends on what it sent."""
    tx, step, params, stacked = start(name)
    stacked["w"] = stacked["w"].at[1, 2, 1, 0].set(bad)
    updates, state = table.play(step, tx.init(params), params, stacked, STEPS)
    properties.assert_finite((updates, table.plain(state)))
    stacked["w"] = stacked["w"].at[1, 2, 0, 0].set(bad)
    others, _ = table.play(step, tx.init(params), params, stacked, STEPS)
    properties.assert_trees_close(updates, others, **ROUNDING)


ALONE = (
    "mean",
    "sum",
    "random",
    "graddrop",
    "pcgrad",
    "player_neat",
    "player_contest",
)


@table.each(ALONE)
def test_a_player_alone_is_followed(name):
    """`single_1x10` of the recorded matrices asks it of the solvers."""
    tx = table.TABLE[name].build()
    params = table.params_like(np.float32)
    gradients = table.at(table.gradients(1, count=1), 0)
    update, _ = jax.jit(tx.update)(gradients, tx.init(params), params)
    flat, own = (
        np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
        for tree in (update, gradients)
    )
    cosine = flat @ own / np.linalg.norm(flat) / np.linalg.norm(own)
    assert cosine == pytest.approx(1.0, abs=1e-5)


@EVERY
def test_gradients_without_a_player_axis_are_refused(name):
    tx, step = table.TABLE[name].stepper()
    params = table.params_like(np.float32)
    with pytest.raises(
        ValueError, match=r"leading player axis|`updates of one player`"
    ):
        jax.eval_shape(step, params, tx.init(params), params)
