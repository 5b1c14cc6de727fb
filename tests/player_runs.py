"""What every reduction of players is asked.

`check_run` compiles once for each name: all scenarios go through one scanned run.
`check_types` compiles nothing: types and refusals are known after tracing.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import player_table as table
import properties
import running
from contract_runs import at, check_program, scan, spy

STEPS = 3
PARAMS = table.PARAMS
ODD = {
    "w": np.array(2.0, np.float32),
    "b": {
        "empty": np.zeros((0, 3), np.float32),
        "none": None,
        "masked": optax.MaskedNode(),
        "nested": [(np.ones(2, np.float32),)],
    },
}
NO_LEAVES = {"w": {}, "b": [None]}
BAD = {"nan": np.nan, "inf": np.inf}
ROUNDING = dict(rtol=2e-5, atol=1e-5)
AFTER = optax.MultiSteps(optax.sgd(0.5), 2).gradient_transformation()


def gradients(steps: int, like=None, count: int = table.COUNT, seed: int = 0):
    """Stacked gradients [steps, P, ...] of players that conflict."""
    rng = np.random.default_rng(seed)
    leaves, treedef = jax.tree.flatten(PARAMS if like is None else like)
    stacked = [
        rng.normal(size=(steps, count, *np.shape(x))).astype(x.dtype) for x in leaves
    ]
    return treedef.unflatten(stacked)


def scenarios():
    """Gradients [scenarios, steps, P, ...]: plain, zeros, and a player that is bad.

    Each kind of what is bad comes twice: at one entry, and at two.
    """
    plain = gradients(STEPS)
    found = [plain, jax.tree.map(np.zeros_like, plain)]
    for bad in BAD.values():
        for rows in ([1], [1, 0]):
            w = plain["w"].copy()
            w[1, 2, rows, 0] = bad
            found.append({**plain, "w": w})
    return jax.tree.map(lambda *xs: np.stack(xs), *found)


def plain(tree):
    """The tree with random keys as numbers, so that it can be compared."""

    def unwrap(x):
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    return jax.tree.map(unwrap, tree)


def check_run(name, subtests, quick=True):
    """One compiled run of all scenarios."""
    tx, step = table.TABLE[name].stepper()

    def run(params, stacked):
        state = tx.init(params)
        play = functools.partial(scan, step, state, params, move=False)
        updates, states = jax.lax.map(play, stacked)
        return updates, plain(states)

    compiled = running.quick_jit(run) if quick else jax.jit(run)
    updates, states = jax.device_get(compiled(PARAMS, scenarios()))
    placed = jax.device_put(PARAMS)
    before = tx.init(placed)
    with subtests.test("the first state can be donated with the parameters"):
        properties.assert_buffers_are_apart((placed, before))
    with subtests.test("states and updates keep shapes and dtypes"):
        properties.assert_same_types(at(states, 0, -1), plain(before))
        properties.assert_same_types(at(updates, 0, -1), PARAMS)
    with subtests.test("every step is counted"):
        properties.assert_counted(at(states, 0, -1), STEPS)
    with subtests.test("updates and states stay finite"):
        properties.assert_finite((updates, states))
    with subtests.test("zero gradients give zero"):
        assert not any(np.any(x) for x in jax.tree.leaves(at(updates, 1)))
    for index, bad in enumerate(BAD):
        with subtests.test("a bad player is dropped whatever it sent", bad=bad):
            one, two = (at(updates, 2 + 2 * index + more) for more in (0, 1))
            properties.assert_trees_close(one, two, **ROUNDING)


def params_like(dtype, params=None):
    params = PARAMS if params is None else params
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), params)


def players_like(params):
    """Shapes of the gradients of all players."""
    shape = lambda x: jax.ShapeDtypeStruct((table.COUNT, *x.shape), x.dtype)  # noqa: E731
    return jax.tree.map(shape, params)


def check_types(name, subtests):
    """What tracing alone answers."""
    entry = table.TABLE[name]
    tx, step = entry.stepper()
    params = params_like(np.float32)
    state, grads = jax.eval_shape(tx.init, params), players_like(params)
    for dtype, wide in (("bfloat16", False), ("float32", True)):
        with subtests.test("dtypes are kept under cond too", dtype=dtype, wide=wide):
            check_dtype(tx, step, dtype, wide)
    with subtests.test("low precision gradients do not change the state's dtypes"):
        low = players_like(params_like(jnp.bfloat16))
        properties.assert_same_types(jax.eval_shape(step, low, state, params)[1], state)
    with subtests.test("a step is traced once, with unknown extra arguments too"):
        check_program(step, _with_unknown(entry, tx), grads, state, params)
    for kind, odd in {"odd leaves": ODD, "no leaves": NO_LEAVES}.items():
        with subtests.test(kind):
            first = jax.eval_shape(tx.init, odd)
            found = jax.eval_shape(step, players_like(odd), first, odd)
            properties.assert_same_types(found, (odd, first))
    with (
        subtests.test("gradients without a player axis are refused"),
        pytest.raises(ValueError, match=r"leading player axis|`updates of one player`"),
    ):
        jax.eval_shape(step, params, state, params)
    _check_wrapped(entry, tx, subtests)
    _check_init(name, tx, subtests)


def check_dtype(tx, step, dtype, wide):
    """Of updates and state, where 64-bit mode is on or off."""
    with jax.enable_x64(wide):
        params = params_like(jnp.dtype(dtype))
        state = jax.eval_shape(tx.init, params)

        def maybe(flag, gradients, state, params):
            keep = lambda: (params, state)  # noqa: E731
            return jax.lax.cond(flag, lambda: step(gradients, state, params), keep)

        found = jax.eval_shape(maybe, True, players_like(params), state, params)
        properties.assert_same_types(found, (params, state))


def _with_unknown(entry, tx):
    def step(gradients, state, params):
        more = {"unknown": object(), "value": 1.0}
        return tx.update(gradients, state, params, **entry.extra, **more)

    return step


def inner(name):
    """Arguments that are transformations."""
    return [key for key in ("inner", "aggregator") if key in table.TABLE[name].kwargs]


def check_forwards(name):
    """Extra arguments reach the transformation that is an argument."""
    entry, seen, params = table.TABLE[name], {}, params_like(np.float32)
    (key,) = inner(name)
    watched = entry.factory(**{**entry.kwargs, key: spy(entry.kwargs[key], seen)})

    def step(gradients, params):
        return watched.update(gradients, watched.init(params), params, token=1.0)

    jax.eval_shape(step, players_like(params), params)
    assert "token" in seen


def injected(entry):
    """The transformation with its numbers in the state."""
    return optax.inject_hyperparams(entry.factory, static_args=entry.static)(
        **entry.kwargs
    )


def _check_wrapped(entry, tx, subtests):
    """Numbers may be traced, and wrappers find a state they can keep."""
    params = params_like(np.float32)
    grads = players_like(params)
    mask = {"w": True, "b": False}
    wrapped = {"aggregate_shared": neo.aggregate_shared(tx, mask)}
    if any(isinstance(value, float) for value in entry.kwargs.values()):
        wrapped["inject_hyperparams"] = injected(entry)
    for kind, around in wrapped.items():
        with subtests.test("types inside of a wrapper", kind=kind):
            state = jax.eval_shape(around.init, params)
            step = functools.partial(around.update, **entry.extra)
            found = jax.eval_shape(step, grads, state, params)
            properties.assert_same_types(found, (params, state))
            if kind == "inject_hyperparams":
                numbers = {k for k, v in entry.kwargs.items() if isinstance(v, float)}
                assert numbers - set(entry.static) <= set(state.hyperparams)


def _check_init(name, tx, subtests):
    params = jax.device_put(PARAMS)
    state = tx.init(params)
    with subtests.test("shapes are enough to start"):
        properties.assert_same_types(jax.eval_shape(tx.init, params), state)
        from_shapes = plain(tx.init(params_like(np.float32)))
        properties.assert_trees_equal(from_shapes, plain(state))
    with subtests.test("map_params"):
        _check_map_params(name, tx, state)


def _check_map_params(name, tx, state):
    """Identity changes nothing, and what is found has the parameters' shapes.

    Arrays of each player are found too: behind the player axis.
    """
    mapped = optax.tree.map_params(tx, lambda x: x, state)
    properties.assert_trees_equal(plain(mapped), plain(state))
    found = optax.tree.map_params(
        tx,
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype),
        state,
        transform_non_params=lambda _: "other",
    )
    shapes = [x.shape for x in jax.tree.leaves(found) if x != "other"]
    allowed = {x.shape for x in PARAMS.values()}
    if name in table.KEEPS_PLAYERS:
        assert shapes
        allowed |= {(table.COUNT, *shape) for shape in allowed}
    assert set(shapes) <= allowed
