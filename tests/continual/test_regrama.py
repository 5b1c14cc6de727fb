"""Gradients of units, and ReGraMa."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import layer_chains as chains
import neat_optax as neo
import properties
import running
import unit_reset_goldens as goldens
from layer_chains import LAYERS

PARAMS = chains.dense_params()


def quarters(key, shape, dtype):
    del key
    return jnp.full(shape, 0.25, dtype)


def test_as_the_authors_program_does_in_any_unit_of_the_loss():
    params, grads = goldens.network()
    tx = neo.continual.regrama(
        optax.sgd(0.0), goldens.LAYERS, threshold=0.1, every=4, init=quarters
    )

    @running.quick_jit
    @jax.vmap
    def play(scale):
        def step(carry, grads):
            scaled = jax.tree.map(lambda g: scale * g, grads)
            updates, state = tx.update(scaled, carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), None

        return jax.lax.scan(step, (params, tx.init(params)), grads)[0][0]

    expected = goldens.expected("regrama")
    # A weight between two units that are reset is zero here, and fresh there.
    expected["dense_1"]["kernel"][[1, 4], 1] = 0
    scales = np.array([1, 1e-15, 1e15], np.float32)
    for found in chains.each(play(scales), len(scales)):
        properties.assert_trees_close(found, expected)


def ramp():
    """Gradients [steps, ...] in which units are silent at times, or in a layer NaN."""
    rng = np.random.default_rng(5)
    grads = jax.tree.map(
        lambda p: rng.normal(size=(6, *p.shape)).astype(np.float32), PARAMS
    )
    kernel = grads["first"]["kernel"]
    kernel[..., 0] = 0
    kernel[[0, 1, 3, 4, 5], ..., 1] = 0
    kernel[2, ..., 1] *= 10  # enough for both periods, if the first were not forgotten
    grads["second"]["kernel"][..., 2] = 0
    grads["second"]["kernel"][5] = np.nan
    return grads


def resets(decay):
    """Whether units of both layers are reset, after 3 steps and after 6."""
    tx = neo.continual.regrama(
        optax.sgd(0.0), LAYERS, threshold=0.3, every=3, decay=decay
    )

    def play(grads):
        def step(state, grads):
            updates, state = tx.update(grads, state, PARAMS)
            return state, [updates[n]["bias"] != 0 for n in LAYERS[:-1]]

        return jax.lax.scan(step, tx.init(PARAMS), grads)[1]

    found = jax.device_get(running.quick_jit(play)(ramp()))
    assert not any(np.any(flags[[0, 1, 3, 4]]) for flags in found)
    return [flags[[2, 5]] for flags in found]


def by_hand(decay):
    first, second = (np.abs(ramp()[n]["kernel"]).mean(axis=1) for n in LAYERS[:-1])
    flags = []
    for sizes in (first, second):
        sums = [decay**2 * a + decay * b + c for a, b, c in (sizes[:3], sizes[3:])]
        flags.append(np.stack([s / s.mean() <= 0.3 for s in sums]))
    flags[1][1] = False  # gradients that are not finite
    return flags


@pytest.mark.parametrize("decay", [0.5, pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_the_sums_of_a_period_by_hand(decay):
    found, expected = resets(decay), by_hand(decay)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[0][:, :2].tolist() == [[True, False], [True, True]]
    assert found[1][:, 2].tolist() == [True, False]


def test_gradients_of_units_by_hand():
    rng = np.random.default_rng(2)
    draw = lambda *shape: rng.normal(size=shape).astype("f4")  # noqa: E731
    grads = {
        "conv": {"kernel": draw(2, 3, 4, 5), "bias": draw(5)},
        "dense": {"kernel": draw(10, 3)},
        "head": {"kernel": draw(3, 1)},
    }
    measure = running.quick_jit(
        lambda g: neo.continual.gradient_activity(g, ("conv", "dense", "head"))
    )
    found = measure(grads)
    assert sorted(found) == ["conv", "dense"]
    conv = np.abs(grads["conv"]["kernel"]).reshape(24, 5).mean(axis=0)
    np.testing.assert_allclose(found["conv"], conv, rtol=1e-5)
    dense = np.abs(grads["dense"]["kernel"]).mean(axis=0)
    np.testing.assert_allclose(found["dense"], dense, rtol=1e-5)


@pytest.mark.slow
def test_over_a_period_it_is_redo_of_gradients():
    params, grads = chains.with_dead_units(), ramp()
    grads["second"]["kernel"][5] = 0.1
    options = dict(layers=LAYERS, threshold=0.3, every=3, key=3)
    inner = optax.adam(0.01)
    found = running.run(
        neo.continual.regrama(inner, decay=1.0, **options), grads, params
    )
    activity = jax.jit(jax.vmap(lambda g: neo.continual.gradient_activity(g, LAYERS)))(
        grads
    )
    tx = neo.continual.reset_dormant(inner, **options)
    expected = running.run(tx, grads, params, unit_activity=activity)
    properties.assert_trees_equal(found[0], expected[0])
    properties.assert_trees_equal(found[2].inner, expected[2].inner)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(threshold=-1.0), r"^`threshold` must be in \[0, inf\), got -1\.0\.$"),
        (dict(decay=1.5), r"^`decay` must be in \[0, 1\], got 1\.5\.$"),
        (dict(every=0), r"^`every` must be an integer >= 1, got 0\.$"),
        (dict(init=3), r"^`init` must be a function, got 3\.$"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        neo.continual.regrama(optax.sgd(0.1), LAYERS, **options)
