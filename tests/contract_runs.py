"""What every transformation of single gradients is asked.

`check_run` compiles once for each name: all scenarios go through one scanned run.
`check_types` compiles nothing: types and refusals are known after tracing.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import contract
import properties
import running

STEPS = 300
PARAMS = {
    "w": np.array([[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]], np.float32),
    "b": np.array([1.0, -2.0], np.float32),
}
ODD = {
    "w": PARAMS["w"],
    "scalar": np.array(2.0, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "none": None,
    "nested": {"list": [(np.array([1 + 2j, -0.5j], np.complex64),)]},
}
NO_LEAVES = {"none": [None], "empty": {}}
BAD = {"nan": np.nan, "inf": np.inf, "1e30": 1e30}


def gradients(count: int, like=None, seed: int = 0):
    """Stacked gradients that often oppose their own past."""
    rng = np.random.default_rng(seed)
    leaves, treedef = jax.tree.flatten(PARAMS if like is None else like)
    stacked = []
    for leaf in leaves:
        base, noise = rng.normal(size=(2, count, *leaf.shape))
        signs = (-1.0) ** np.arange(count).reshape(-1, *[1] * leaf.ndim)
        turn = 1 + 2j if np.iscomplexobj(leaf) else 1
        stacked.append((turn * (signs * np.abs(base) + 0.3 * noise)).astype(leaf.dtype))
    return treedef.unflatten(stacked)


def scenarios(params):
    """Gradients [scenarios, steps, ...]: plain, zeros, one bad entry of each kind."""
    plain = gradients(STEPS, params)
    found = [plain, jax.tree.map(np.zeros_like, plain)]
    for bad in BAD.values():
        w = plain["w"].copy()
        w[1, 2, 1] = bad
        found.append({**plain, "w": w})
    return jax.tree.map(lambda *xs: np.stack(xs), *found)


def at(stacked, *index):
    """One scenario, or one step."""
    return jax.tree.map(lambda x: x[index], stacked)


def scan(step, state, params, stacked, move=True):
    """Updates and states [steps, ...] of one step after another."""

    def body(carry, gradient):
        params, state = carry
        update, state = step(gradient, state, params)
        params = optax.apply_updates(params, update) if move else params
        return (params, state), (update, state)

    return jax.lax.scan(body, (params, state), stacked)[1]


def odd_params(entry):
    """Leaves of all kinds that a transformation accepts."""
    return {**ODD, "nested": {"list": []}} if entry.real_only else ODD


def check_run(name, subtests, quick=True):
    """One compiled run of all scenarios."""
    entry = contract.TABLE[name]
    params = odd_params(entry)
    tx, step = entry.stepper()

    def run(params, stacked):
        state = tx.init(params)
        first = tx.init(NO_LEAVES)
        alone = first, step(NO_LEAVES, first, NO_LEAVES)
        play = functools.partial(scan, step, state, params)
        return state, alone, jax.lax.map(play, stacked)

    compiled = running.quick_jit(run) if quick else jax.jit(run)
    found = jax.device_get(compiled(params, scenarios(params)))
    start, alone, (updates, states) = found
    placed = jax.device_put(params)
    before = tx.init(placed)
    with subtests.test("the first state can be donated with the parameters"):
        properties.assert_buffers_are_apart((placed, before))
    with subtests.test("compiling changes nothing about the first state"):
        properties.assert_same_types(start, before)
        properties.assert_trees_close(start, before)
    with subtests.test("states and updates keep shapes and dtypes"):
        properties.assert_same_types(at(states, 0, -1), before)
        properties.assert_same_types(at(updates, 0, -1), params)
    with subtests.test("every step is counted"):
        properties.assert_counted(at(states, 0, -1), STEPS)
        properties.assert_counted(at(states, 0, 1), 2)
    for index, scenario in enumerate(("plain", "zeros", *BAD)):
        if scenario in BAD and name not in contract.CONTESTS:
            continue
        with subtests.test("updates and states stay finite", scenario=scenario):
            properties.assert_finite((at(updates, index), at(states, index)))
    with subtests.test("a tree without leaves"):
        properties.assert_same_types(alone[1], (NO_LEAVES, alone[0]))
        properties.assert_finite(alone)


def params_like(dtype):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), PARAMS)


def check_types(name, subtests):
    """What tracing alone answers."""
    entry = contract.TABLE[name]
    tx, step = entry.stepper()
    params = params_like(np.float32)
    state = jax.eval_shape(tx.init, params)
    for dtype, wide in (("bfloat16", False), ("float32", True)):
        with subtests.test("dtypes are kept under cond too", dtype=dtype, wide=wide):
            check_dtype(tx, step, dtype, wide)
    with subtests.test("low precision gradients do not change the state's dtypes"):
        low = params_like(jnp.bfloat16)
        properties.assert_same_types(jax.eval_shape(step, low, state, params)[1], state)
    with subtests.test("a step is traced once, with unknown extra arguments too"):
        check_program(step, _with_unknown(entry, tx), params, state, params)
    _check_refusals(tx, step, subtests)
    _check_wrapped(entry, subtests)
    _check_init(name, tx, subtests)


def check_dtype(tx, step, dtype, wide):
    """Of updates and state, where 64-bit mode is on or off."""
    with jax.enable_x64(wide):
        params = params_like(jnp.dtype(dtype))
        state = jax.eval_shape(tx.init, params)

        def maybe(flag, gradient, state, params):
            keep = lambda: (gradient, state)  # noqa: E731
            return jax.lax.cond(flag, lambda: step(gradient, state, params), keep)

        found = jax.eval_shape(maybe, True, params, state, params)
        properties.assert_same_types(found, (params, state))


def check_program(step, with_unknown, *arguments):
    """The next state is traced as the first, and unknown arguments leave no trace."""
    trace = functools.partial(jax.make_jaxpr, return_shape=True)
    program, (_, after) = trace(step)(*arguments)
    properties.assert_no_retrace(after, arguments[1])
    assert str(trace(with_unknown)(*arguments)[0]) == str(program)


def _with_unknown(entry, tx):
    def step(gradient, state, params):
        more = {"unknown": object(), "loss": 1.0}
        return tx.update(gradient, state, params, **entry.extra(gradient), **more)

    return step


def inner(name):
    """Arguments that are transformations of gradients."""
    kinds = optax.GradientTransformation
    return [
        key
        for key, value in contract.TABLE[name].kwargs.items()
        if isinstance(value, kinds) and key != "rules"
    ]


def spy(tx, seen):
    """The transformation, with the names of its extra arguments written down."""
    tx = optax.with_extra_args_support(tx)

    def update(updates, state, params=None, **extra_args):
        seen.update(extra_args)
        return tx.update(updates, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(tx.init, update)


def check_forwards(name):
    """Extra arguments reach every transformation that is an argument."""
    entry, params = contract.TABLE[name], params_like(np.float32)
    seen = {key: {} for key in inner(name)}
    spies = {key: spy(entry.kwargs[key], seen[key]) for key in seen}
    watched = entry.factory(**{**entry.kwargs, **spies})

    def step(gradient, params):
        state = watched.init(params)
        return watched.update(gradient, state, params, token=1.0)

    jax.eval_shape(step, params, params)
    assert all("token" in given for given in seen.values()), seen


def _twice(x):
    return jnp.stack([x, x])


def _check_refusals(tx, step, subtests):
    for dtype in (np.int32, np.bool_):
        params = params_like(dtype)
        with (
            subtests.test("refused leaves", dtype=dtype),
            pytest.raises(
                ValueError, match="must have floating or complex leaves, got"
            ),
        ):
            jax.eval_shape(lambda p: step(p, tx.init(p), p), params)
    params = params_like(np.float32)
    players = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype), params
    )
    state = jax.eval_shape(tx.init, params)
    with (
        subtests.test("player gradients are refused"),
        jax.numpy_rank_promotion("allow"),
        pytest.raises(ValueError, match="leading player axis must be reduced"),
    ):
        jax.eval_shape(step, players, state, params)


def injected(entry):
    """The transformation with its numbers in the state."""
    return optax.inject_hyperparams(entry.factory, static_args=entry.static)(
        **entry.kwargs
    )


def scheduled(entry, number=jnp.float32):
    """The entry with a constant schedule wherever one is accepted."""

    def constant(value):
        return lambda _: number(value)

    accepted = (optax.ScalarOrSchedule, optax.ScalarOrSchedule | None)
    parameters = inspect.signature(entry.factory, eval_str=True).parameters
    kwargs = dict(entry.kwargs)
    for key, parameter in parameters.items():
        value = kwargs.get(key, parameter.default)
        if isinstance(value, float) and parameter.annotation in accepted:
            kwargs[key] = constant(value)
        if isinstance(value, tuple) and key.endswith("_range"):
            kwargs[key] = tuple(constant(end) for end in value)
    return entry._replace(kwargs=kwargs)


def masked(tx, kept):
    """The transformation on some of the leaves of `PARAMS`."""
    mask = {key: key in kept for key in PARAMS}
    return optax.masked(tx, mask, mask_compatible_extra_args=True)


def stepper(tx, entry):
    """The step of a wrapped transformation."""
    if not isinstance(tx, optax.MultiSteps):  # it passes extra arguments by itself
        tx = optax.with_extra_args_support(tx)
    return lambda g, state, params: tx.update(g, state, params, **entry.extra(g))


def _check_wrapped(entry, subtests):
    """Numbers may be traced, and wrappers find a state they can keep."""
    params = params_like(np.float32)
    wrapped = {
        "inject_hyperparams": injected(entry),
        "schedules": scheduled(entry).build(),
        "masked": masked(entry.build(), ("w",)),
    }
    for kind, tx in wrapped.items():
        with subtests.test("types inside of a wrapper", kind=kind):
            state = jax.eval_shape(tx.init, params)
            found = jax.eval_shape(stepper(tx, entry), params, state, params)
            properties.assert_same_types(found, (params, state))


def _check_init(name, tx, subtests):
    params = jax.device_put(PARAMS)
    state = tx.init(params)
    with subtests.test("the state of shapes has the types of the state"):
        properties.assert_same_types(jax.eval_shape(tx.init, params), state)
    if name not in contract.FROM_VALUES:
        with subtests.test("shapes are enough to start"):
            properties.assert_trees_equal(tx.init(params_like(np.float32)), state)
    with subtests.test("map_params by the identity changes nothing"):
        mapped = optax.tree.map_params(tx, lambda x: x, state)
        properties.assert_trees_equal(mapped, state)
    with subtests.test("map_params finds exactly the arrays like parameters"):
        found = optax.tree.map_params(
            tx,
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype),
            state,
            transform_non_params=lambda _: "other",
        )
        shapes = sorted(x.shape for x in jax.tree.leaves(found) if x != "other")
        copies = len(shapes) // len(PARAMS)
        assert shapes == sorted(x.shape for x in PARAMS.values() for _ in range(copies))
