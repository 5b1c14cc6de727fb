"""Shrink and perturb."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo

RNG = np.random.default_rng(2)
PARAMS = {
    "kernel": jnp.asarray(3.0 * RNG.normal(size=(200, 64)), jnp.float32),
    "bias": jnp.zeros(64),
}


def run(tx, params, steps, grads=None):
    state, update = tx.init(params), jax.jit(tx.update)
    visited = []
    for _ in range(steps):
        moves = jax.tree.map(jnp.zeros_like, params) if grads is None else grads
        updates, state = update(moves, state, params)
        params = optax.apply_updates(params, updates)
        visited.append(params)
    return visited


def test_shrinks_the_new_parameters_by_hand():
    tx = neo.continual.shrink_and_perturb(0.5, 0.0, every=3)
    visited = run(tx, jnp.array([8.0, -4.0]), 6, grads=jnp.array([1.0, 1.0]))
    assert [w.tolist() for w in visited] == [
        [9.0, -3.0],
        [10.0, -2.0],
        [5.5, -0.5],
        [6.5, 0.5],
        [7.5, 1.5],
        [4.25, 1.25],
    ]


def test_the_noise_has_the_spread_of_the_start():
    tx = neo.continual.shrink_and_perturb(1.0, 0.2, every=1)
    after = run(tx, PARAMS, 1)[0]
    change = np.asarray(after["kernel"] - PARAMS["kernel"])
    assert np.std(change) == pytest.approx(0.2 * 3.0, rel=0.03)
    assert abs(np.mean(change)) < 0.03
    assert np.all(np.asarray(after["bias"]) == 0)


def test_shrunk_to_nothing_a_network_is_drawn_afresh():
    ones = lambda key, shape, dtype: jnp.ones(shape, dtype)  # noqa: ARG005, E731
    tx = neo.continual.shrink_and_perturb(0.0, 1.0, every=1, init=ones)
    params = {"kernel": PARAMS["kernel"], "bias": jnp.full(64, 7.0)}
    after = run(tx, params, 1)[0]
    np.testing.assert_allclose(after["kernel"], 1.0, atol=1e-5)
    assert np.all(np.asarray(after["bias"]) == 0)


def test_small_steps_have_a_stationary_spread():
    """With factor s and noise n the variance tends to n^2 / (1 - s^2)."""
    tx = neo.continual.shrink_and_perturb(0.9, 0.1, every=1)
    after = run(tx, PARAMS, 80)[-1]
    expected = 3.0 * 0.1 / np.sqrt(1 - 0.81)
    assert np.std(after["kernel"]) == pytest.approx(expected, rel=0.03)


def test_another_key_and_another_step_draw_other_noise():
    kernels = [
        run(neo.continual.shrink_and_perturb(0.0, 1.0, every=1, key=key), PARAMS, 2)
        for key in (0, 1, jax.random.key(0))
    ]
    first, other, same = ([np.asarray(p["kernel"]) for p in k] for k in kernels)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_array_equal(first, same)


def test_a_mask_leaves_parameters_out():
    mask = {"kernel": True, "bias": False}
    tx = neo.continual.shrink_and_perturb(0.0, 0.0, every=1, mask=mask)
    after = run(tx, {**PARAMS, "bias": jnp.ones(64)}, 1)[0]
    assert np.all(np.asarray(after["kernel"]) == 0)
    assert np.all(np.asarray(after["bias"]) == 1)


def test_scan_and_vmap_equal_a_loop():
    tx = neo.continual.shrink_and_perturb(0.5, 0.1, every=2)
    start = jnp.arange(12.0).reshape(2, 6)

    def steps(w):
        def body(carry, _):
            w, state = carry
            updates, state = tx.update(jnp.sin(w), state, w)
            return (optax.apply_updates(w, updates), state), None

        return jax.lax.scan(body, (w, tx.init(w)), None, length=4)[0][0]

    mapped = jax.vmap(steps)(start)
    for row, w in zip(mapped, start, strict=True):
        state = tx.init(w)
        for _ in range(4):
            updates, state = tx.update(jnp.sin(w), state, w)
            w = optax.apply_updates(w, updates)
        np.testing.assert_allclose(row, w, rtol=1e-5)


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_sharded_equals_unsharded(axis_type):
    tx = neo.continual.shrink_and_perturb(0.5, 0.5, every=2)
    expected = run(tx, PARAMS, 2)[-1]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    specs = {"kernel": P(None, "data"), "bias": P("data")}
    with jax.set_mesh(mesh):
        placed = {
            key: jax.device_put(PARAMS[key], NamedSharding(mesh, specs[key]))
            for key in PARAMS
        }
        after = run(tx, placed, 2)[-1]
    for key in PARAMS:
        np.testing.assert_allclose(after[key], expected[key], rtol=1e-5, atol=1e-6)
        assert after[key].sharding.is_equivalent_to(
            placed[key].sharding, after[key].ndim
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(shrink=1.5), r"^`shrink` must be in \[0, 1\], got 1\.5\.$"),
        (dict(noise=-1.0), r"^`noise` must be in \[0, inf\), got -1\.0\.$"),
        (dict(every=0), r"^`every` must be an integer >= 1, got 0\.$"),
        (dict(init=3), r"^`init` must be a function, got 3\.$"),
        (dict(key="a"), r"^`key` must be an integer, got 'a'\.$"),
        (dict(key=-1), r"^`key` must be an integer >= 0, got -1\.$"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        neo.continual.shrink_and_perturb(
            **{"shrink": 0.5, "noise": 0.1, "every": 2, **options}
        )
