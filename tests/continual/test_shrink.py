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
    "kernel": (3.0 * RNG.normal(size=(200, 64))).astype(np.float32),
    "bias": np.zeros(64, np.float32),
}


def played(tx, params, steps, slope=0.0):
    """The parameters after each step under one gradient."""

    def step(carry, _):
        params, state = carry
        gradient = jax.tree.map(lambda p: jnp.full_like(p, slope), params)
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    @jax.jit
    def run(params):
        start = params, tx.init(params)
        return jax.lax.scan(step, start, None, length=steps)[1]

    after = jax.tree.map(np.asarray, run(params))
    return [jax.tree.map(lambda x, n=n: x[n], after) for n in range(steps)]


def test_shrinks_the_new_parameters_by_hand():
    tx = neo.continual.shrink_and_perturb(0.5, 0.0, every=3)
    visited = played(tx, np.array([8.0, -4.0], np.float32), 6, slope=1.0)
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
    after = played(tx, PARAMS, 1)[0]
    change = after["kernel"] - PARAMS["kernel"]
    assert np.std(change) == pytest.approx(0.2 * 3.0, rel=0.03)
    assert abs(np.mean(change)) < 0.03
    assert np.all(after["bias"] == 0)


def test_equal_leaves_get_noise_of_their_own():
    tx = neo.continual.shrink_and_perturb(0.0, 1.0, every=1)
    kernel = PARAMS["kernel"][:4]
    after = played(tx, {"first": kernel, "second": kernel}, 1)[0]
    assert abs(np.corrcoef(after["first"].flat, after["second"].flat)[0, 1]) < 0.3


def test_shrunk_to_nothing_a_network_is_initialized_again():
    ones = lambda key, shape, dtype: jnp.ones(shape, dtype)  # noqa: ARG005, E731
    tx = neo.continual.shrink_and_perturb(0.0, 1.0, every=1, init=ones)
    params = {"kernel": PARAMS["kernel"], "bias": np.full(64, 7.0, np.float32)}
    after = played(tx, params, 1)[0]
    np.testing.assert_allclose(after["kernel"], 1.0, atol=1e-5)
    assert np.all(after["bias"] == 0)


@pytest.mark.slow
def test_small_steps_have_a_stationary_spread():
    """With factor s and noise n the variance tends to n^2 / (1 - s^2)."""
    tx = neo.continual.shrink_and_perturb(0.9, 0.1, every=1)
    after = played(tx, PARAMS, 80)[-1]
    expected = 3.0 * 0.1 / np.sqrt(1 - 0.81)
    assert np.std(after["kernel"]) == pytest.approx(expected, rel=0.03)


def test_another_key_and_another_step_draw_other_noise():
    kernel = PARAMS["kernel"][:4]

    def drawn(key):
        tx = neo.continual.shrink_and_perturb(0.0, 1.0, every=1, key=key)
        state, found = tx.init(kernel), []
        for _ in range(2):
            update, state = tx.update(jnp.zeros_like(kernel), state, kernel)
            found.append(update)
        return found

    seeded = jax.jit(jax.vmap(lambda seed: drawn(jax.random.key(seed))))
    (first, other), (again, _) = seeded(np.array([0, 1], np.uint32))
    assert not np.array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(jax.jit(lambda: drawn(0))()[0], first)


def test_a_mask_leaves_parameters_out():
    mask = {"kernel": True, "bias": False}
    tx = neo.continual.shrink_and_perturb(0.0, 0.0, every=1, mask=mask)
    after = played(tx, {**PARAMS, "bias": np.ones(64, np.float32)}, 1)[0]
    assert np.all(after["kernel"] == 0)
    assert np.all(after["bias"] == 1)


@pytest.mark.slow
def test_scan_and_vmap_equal_single_steps():
    tx = neo.continual.shrink_and_perturb(0.5, 0.1, every=2)
    starts = np.arange(12, dtype=np.float32).reshape(2, 6)

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(jnp.sin(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    def steps(w):
        return jax.lax.scan(step, (w, tx.init(w)), None, length=4)[0][0]

    mapped, one = jax.jit(jax.vmap(steps))(starts), jax.jit(step)
    for row, w in zip(mapped, starts, strict=True):
        carry = w, tx.init(w)
        for _ in range(4):
            carry, _ = one(carry, None)
        np.testing.assert_allclose(row, carry[0], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_sharded_equals_unsharded(axis_type):
    tx = neo.continual.shrink_and_perturb(0.5, 0.5, every=2)
    expected = played(tx, PARAMS, 2)[-1]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    specs = {"kernel": P(None, "data"), "bias": P("data")}
    zeros = jax.tree.map(np.zeros_like, PARAMS)
    with jax.set_mesh(mesh):
        put = lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec))  # noqa: E731
        after, still = (jax.tree.map(put, tree, specs) for tree in (PARAMS, zeros))
        state, update = tx.init(after), jax.jit(tx.update)
        for _ in range(2):
            updates, state = update(still, state, after)
            after = optax.apply_updates(after, updates)
        for key, spec in specs.items():
            np.testing.assert_allclose(after[key], expected[key], rtol=1e-5, atol=1e-6)
            place = NamedSharding(mesh, spec)
            assert after[key].sharding.is_equivalent_to(place, after[key].ndim)


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
