"""Every reduction of players inside optax's wrappers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import player_table as table
import properties
from neat_optax import aggregators

EVERY = table.each()
ROUNDING = dict(rtol=2e-5, atol=1e-5)


AFTER = optax.MultiSteps(optax.sgd(0.5), 2).gradient_transformation()
after_update = jax.jit(AFTER.update)
WITH_NUMBERS = set(table.TABLE) - {*table.NO_NUMBER, *table.IN_OTHER_TESTS}


@table.each(sorted(WITH_NUMBERS))
def test_inject_hyperparams_gives_equal_updates(name):
    entry = table.TABLE[name]
    tx, step = table.jitted(name)
    params, stacked = table.params_like(np.float32), table.gradients(2)
    wrapped = optax.inject_hyperparams(entry.factory, static_args=entry.static)(
        **entry.kwargs
    )
    state = wrapped.init(params)
    numbers = [k for k, v in entry.kwargs.items() if isinstance(v, float)]
    assert set(numbers) <= set(state.hyperparams)
    update = jax.jit(lambda g, s, p: wrapped.update(g, s, p, **entry.extra))
    updates, _ = table.play(update, state, params, stacked, 2)
    expected, _ = table.play(step, tx.init(params), params, stacked, 2)
    properties.assert_trees_close(updates, expected, **ROUNDING)


@EVERY
def test_masked_reduces_only_its_leaves(name):
    """Leaves outside of the mask keep their player axis."""
    entry = table.TABLE[name]
    tx = entry.build()
    params = table.params_like(np.float32)
    gradients = table.at(table.gradients(1), 0)
    masked = optax.masked(tx, {"w": True, "b": False}, mask_compatible_extra_args=True)
    state = masked.init(params)
    update, after = jax.eval_shape(
        lambda g, s: masked.update(g, s, params, **entry.extra), gradients, state
    )
    properties.assert_same_types(after, state)
    assert update["w"].shape == params["w"].shape
    assert update["b"].shape == gradients["b"].shape


@EVERY
def test_multi_steps_after(name):
    """An optimizer after the reduction gets the mean of its updates."""
    entry = table.TABLE[name]
    tx, step = table.jitted(name)
    params, stacked = table.params_like(np.float32), table.gradients(2)
    expected, _ = table.play(step, tx.init(params), params, stacked, 2)
    state = AFTER.init(params)
    first, state = after_update(table.at(expected, 0), state, params)
    second, _ = after_update(table.at(expected, 1), state, params)
    assert not any(np.any(x) for x in jax.tree.leaves(first))
    mean = jax.tree.map(lambda x: -0.5 * jnp.mean(x, axis=0), expected)
    properties.assert_trees_close(second, mean, **ROUNDING)
    whole = optax.chain(tx, AFTER)
    shapes = jax.eval_shape(
        lambda g, s: whole.update(g, s, params, **entry.extra),
        table.at(stacked, 0),
        whole.init(params),
    )
    properties.assert_same_types(shapes[0], params)


@table.each([n for n in table.TABLE if n != "aggregate_shared"])
def test_map_params(name):
    """Identity changes nothing, and what is found has the parameters' shapes.

    Arrays of each player are found too: behind the player axis.
    """
    tx, _ = table.jitted(name)
    params = table.params_like(np.float32)
    state = tx.init(params)
    mapped = optax.tree.map_params(tx, lambda x: x, state)
    properties.assert_trees_equal(table.plain(mapped), table.plain(state))
    found = optax.tree.map_params(
        tx,
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype),
        state,
        transform_non_params=lambda _: "other",
    )
    shapes = [x.shape for x in jax.tree.leaves(found) if x != "other"]
    allowed = {x.shape for x in params.values()}
    if name in table.KEEPS_PLAYERS:
        assert shapes
        allowed |= {(table.COUNT, *shape) for shape in allowed}
    assert set(shapes) <= allowed


def test_map_params_does_not_see_through_a_partition():
    """It asks for the state of a placeholder, which has no leaf that is shared."""
    tx, _ = table.jitted("aggregate_shared")
    state = tx.init(table.params_like(np.float32))
    with pytest.raises(ValueError, match="`shared` must have the tree structure of"):
        optax.tree.map_params(tx, lambda x: x, state)


@EVERY
def test_init_from_shapes_alone(name):
    tx, _ = table.jitted(name)
    params = table.params_like(np.float32)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    expected = tx.init(params)
    properties.assert_same_types(jax.eval_shape(tx.init, params), expected)
    from_shapes = table.plain(tx.init(shapes))
    properties.assert_trees_equal(from_shapes, table.plain(expected))


SEEDED = {
    "random": aggregators.random,
    "pcgrad": aggregators.pcgrad,
    "graddrop": aggregators.graddrop,
}


@pytest.mark.parametrize("name", SEEDED)
def test_vmap_over_seeds_equals_a_loop(name):
    params, gradients = table.params_like(np.float32), table.at(table.gradients(1), 0)

    def run(key):
        tx = SEEDED[name](key)
        return tx.update(gradients, tx.init(params), params)[0]

    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(run))(keys)
    for index, key in enumerate(keys):
        alone = jax.jit(run)(key)
        properties.assert_trees_close(table.at(together, index), alone, **ROUNDING)
    first, second = (table.at(together, i)["w"] for i in (0, 1))
    assert np.any(np.abs(first - second) > 1e-3)
