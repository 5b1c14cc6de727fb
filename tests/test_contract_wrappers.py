"""Every public transformation inside optax's wrappers, and with schedules."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import contract
import properties

EVERY = contract.each()
STEPS = 3
ROUNDING = dict(rtol=2e-5, atol=1e-6)  # 1 - decay is rounded to float32 when traced


def _start(name):
    tx, step = contract.jitted(name)
    params = contract.params_like(np.float32)
    return tx, step, params, contract.gradients(STEPS)


def _with(tx, entry):
    """The jitted step of a wrapped transformation."""

    @jax.jit
    def step(gradient, state, params):
        return tx.update(gradient, state, params, **entry.extra(gradient))

    return step


@EVERY
def test_inject_hyperparams_gives_equal_updates(name):
    entry = contract.TABLE[name]
    tx, step, params, stacked = _start(name)
    inject = optax.inject_hyperparams(entry.factory, static_args=entry.static)
    wrapped = inject(**entry.kwargs)
    updates, _ = contract.play(
        _with(wrapped, entry), wrapped.init(params), params, stacked, STEPS
    )
    expected, _ = contract.play(step, tx.init(params), params, stacked, STEPS)
    properties.assert_trees_close(updates, expected, **ROUNDING)


def _scheduled(entry):
    """The arguments with a constant schedule wherever one is accepted."""

    def constant(value):
        return lambda step: jnp.asarray(value, jnp.float32) + 0 * step

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


@contract.each([n for n in contract.TABLE if n not in contract.NO_SCHEDULE])
def test_constant_schedule_equals_the_constant(name):
    entry = _scheduled(contract.TABLE[name])
    assert entry.kwargs != contract.TABLE[name].kwargs
    tx, step, params, stacked = _start(name)
    scheduled = optax.with_extra_args_support(entry.build())
    updates, _ = contract.play(
        _with(scheduled, entry), scheduled.init(params), params, stacked, STEPS
    )
    expected, _ = contract.play(step, tx.init(params), params, stacked, STEPS)
    properties.assert_trees_close(updates, expected, **ROUNDING)


@EVERY
@pytest.mark.parametrize("kept", [("w",), ()], ids=["one leaf", "no leaf"])
def test_masked_touches_only_its_leaves(name, kept):
    entry = contract.TABLE[name]
    tx, step, params, stacked = _start(name)
    mask = {key: key in kept for key in params}
    masked = optax.masked(tx, mask, mask_compatible_extra_args=True)
    state = masked.init(params)
    updates, after = contract.play(_with(masked, entry), state, params, stacked, STEPS)
    properties.assert_same_types(after, state)
    alone = {key: params[key] for key in kept}
    expected, _ = contract.play(
        step, tx.init(alone), alone, {key: stacked[key] for key in kept}, STEPS
    )
    for key in params:
        wanted = expected[key] if key in kept else stacked[key]
        np.testing.assert_allclose(updates[key], wanted, rtol=1e-5, atol=1e-6)


@EVERY
def test_multi_steps_around(name):
    """Two small steps are one step on the mean gradient."""
    entry = contract.TABLE[name]
    tx, step, params, stacked = _start(name)
    multi = optax.MultiSteps(tx, every_k_schedule=2)
    # An opponent is taken from the last small gradient, so the two are made equal.
    gradient = contract.at(stacked, 0)
    update = _with(multi, entry)
    first, state = update(gradient, multi.init(params), params)
    second, state = update(gradient, state, params)
    expected, inner = step(gradient, tx.init(params), params)
    assert not any(np.any(x) for x in jax.tree.leaves(first))
    properties.assert_trees_close(second, expected, **ROUNDING)
    properties.assert_trees_close(state.inner_opt_state, inner, **ROUNDING)


@contract.each(("correction", "correction given", "scale_by_neat"))
def test_multi_steps_after(name):
    """An optimizer after the transformation gets the mean of its updates."""
    entry = contract.TABLE[name]
    tx, step, params, stacked = _start(name)
    after = optax.MultiSteps(optax.sgd(0.5), 2).gradient_transformation()
    chained = optax.chain(tx, after)
    update = _with(chained, entry)
    first, state = update(contract.at(stacked, 0), chained.init(params), params)
    second, _ = update(contract.at(stacked, 1), state, params)
    one, inner = step(contract.at(stacked, 0), tx.init(params), params)
    two, _ = step(contract.at(stacked, 1), inner, params)
    assert not any(np.any(x) for x in jax.tree.leaves(first))
    mean = jax.tree.map(lambda a, b: -0.5 * (a + b) / 2, one, two)
    properties.assert_trees_close(second, mean, **ROUNDING)


@EVERY
def test_map_params_identity(name):
    tx, _, params, _ = _start(name)
    state = tx.init(params)
    mapped = optax.tree.map_params(tx, lambda x: x, state)
    properties.assert_trees_equal(mapped, state)


@EVERY
def test_map_params_finds_exactly_the_parameter_shaped_arrays(name):
    tx, _, params, _ = _start(name)
    found = optax.tree.map_params(
        tx,
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype),
        tx.init(params),
        transform_non_params=lambda _: "other",
    )
    shapes = sorted(x.shape for x in jax.tree.leaves(found) if x != "other")
    copies = len(shapes) // len(params)
    assert shapes == sorted(x.shape for x in params.values() for _ in range(copies))


@EVERY
def test_abstract_init(name):
    tx, _, params, _ = _start(name)
    abstract = jax.eval_shape(tx.init, params)
    properties.assert_same_types(abstract, tx.init(params))


@contract.each([n for n in contract.TABLE if n not in contract.SLOW])
def test_init_from_shapes_alone(name):
    """Slow parameters start from values; every other state from shapes."""
    tx, _, params, _ = _start(name)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    properties.assert_trees_equal(tx.init(shapes), tx.init(params))
