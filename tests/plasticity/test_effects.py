"""What is the same of the measures of all wrappers and stabilizers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import properties

FACTORIES = {
    "bound": functools.partial(
        neo.plasticity.bound_residual, neo.plasticity.scale_by_plasticity()
    ),
    "orthogonal": functools.partial(
        neo.plasticity.orthogonal_residual, neo.plasticity.scale_by_plasticity()
    ),
    "modulate": functools.partial(
        neo.plasticity.modulate, optax.scale_by_adam(), strength=2.0
    ),
    "rate": functools.partial(
        neo.plasticity.modulate_rate, optax.identity(), strength=3.0
    ),
    "clip": neo.plasticity.clip_leaf_norm,
    "stabilize": functools.partial(neo.plasticity.stabilize, rate=0.5),
}
EACH = pytest.mark.parametrize("make", FACTORIES.values(), ids=FACTORIES)


def history(count, dtype=jnp.float32):
    """Gradients of two arrays."""
    rng = np.random.default_rng(7)
    shapes = {"a": (3, 2), "b": (4,)}
    draw = lambda shape: jnp.asarray(rng.normal(size=shape), dtype)  # noqa: E731
    return [{name: draw(shape) for name, shape in shapes.items()} for _ in range(count)]


def play(tx, gradients):
    """The states after each step."""
    state, states, step = tx.init(gradients[0]), [], jax.jit(tx.update)
    for gradient in gradients:
        out, state = step(gradient, state)
        states.append(state)
    return out, states


@EACH
def test_measures_change_nothing_and_cost_no_state_where_they_are_off(make):
    gradients = history(3)
    out, states = play(make(monitor=True), gradients)
    plain, plain_states = play(make(), gradients)
    properties.assert_trees_close(out, plain, rtol=1e-6)
    assert plain_states[-1].recorded == ()
    rest = [s[-1]._replace(measures=()) for s in (states, plain_states)]
    properties.assert_trees_close(*rest, rtol=1e-6)


@EACH
def test_the_mean_is_over_all_steps(make):
    _, states = play(make(monitor=True), history(5))
    latest = [state.recorded.latest for state in states]
    mean = jax.tree.map(lambda *x: np.mean(x, axis=0), *latest)
    properties.assert_trees_close(states[-1].recorded.mean, mean, rtol=1e-5)
    assert any(np.ptp(x) > 0 for x in jax.tree.leaves(latest))
    assert states[-1].recorded.size.tolist() == [6, 4]


@EACH
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64"])
def test_measures_are_float32(make, dtype):
    with jax.enable_x64(dtype == "float64"):
        tx = make(monitor=True)
        gradients = history(2, dtype)
        _, states = play(tx, gradients)
        properties.assert_same_types(states[-1], tx.init(gradients[0]))
        for x in jax.tree.leaves(states[-1].recorded):
            assert x.dtype == jnp.float32


@EACH
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_what_is_not_finite_is_not_remembered(make, bad):
    gradients = history(3)
    gradients[1]["a"] = gradients[1]["a"].at[0, 0].set(bad)
    _, states = play(make(monitor=True), gradients)
    for state in states:
        properties.assert_finite(state.recorded)


@EACH
def test_vmap_equals_a_loop(make):
    """To within the rounding of a cosine that is 0 in exact arithmetic."""
    gradients = history(2)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *gradients)
    tx = make(monitor=True)

    def one(gradient):
        return neo.diagnostics(tx.update(gradient, tx.init(gradient))[1])

    mapped = jax.jit(jax.vmap(one))(stacked)
    expected = jax.tree.map(lambda *x: jnp.stack(x), *map(one, gradients))
    properties.assert_trees_close(mapped, expected, rtol=1e-5, atol=1e-6)


def test_a_state_can_be_donated():
    """Its arrays are distinct from the start."""
    u = jnp.array([3.0, 4.0])
    tx = neo.plasticity.clip_leaf_norm(monitor=True)
    state = tx.init(u)
    step = jax.jit(tx.update, donate_argnums=1)
    for _ in range(2):
        _, state = step(u, state)
    assert state.recorded.mean.unclipped_norm.tolist() == [5.0]


@EACH
def test_nothing_recorded_of_nothing(make):
    tx = make(monitor=True)
    _, after = tx.update({}, tx.init({}))
    assert after.recorded.size.shape == (0,)


def test_no_name_is_used_twice():
    """Those of coefficients and corrections stand beside them."""
    g = history(1)[0]
    parts = [make(monitor=True) for make in FACTORIES.values()][1:]
    parts += [
        neo.plasticity.scale_by_plasticity(monitor=True),
        neo.neat_correction(monitor=True),
    ]
    alone = [set(neo.diagnostics(tx.init(g))) for tx in parts]
    together = neo.diagnostics(optax.chain(*parts).init(g))
    assert len(together) == sum(map(len, alone))
