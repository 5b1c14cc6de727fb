"""Evolution strategies on a mesh of eight devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import running
from neat_optax.evolution import (
    _pairs,
    es_value_and_grad,
    init_gaussian,
    snes_value_and_grad,
)

KEY = jax.random.key(2)
SPECS = {"s": P(), "w": P("data")}
PARAMS = {
    "s": np.float32(0.5),
    "w": np.arange(48, dtype=np.float32).reshape(16, 3) / 48,
}
KINDS = AxisType.Auto, AxisType.Explicit


def mesh_of(axis_type):
    return jax.make_mesh((8,), ("data",), axis_types=(axis_type,))


def placed(mesh):
    return jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), PARAMS, SPECS
    )


def losses(params):
    squares = jnp.sum(params["w"] ** 2) * params["s"]
    return jnp.stack([squares, jnp.sum(params["w"]), params["s"]])


def assert_close_and_placed(found, expected, like, players):
    lead = (None,) if players else ()
    for a, b, x in zip(
        *(jax.tree.leaves(tree) for tree in (found, expected, like)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
        spec = P(*lead, *x.sharding.spec)
        wanted = NamedSharding(x.sharding.mesh, spec)
        assert a.sharding.is_equivalent_to(wanted, a.ndim), a.sharding


def products(*options, fast):
    return [
        pytest.param(*one, marks=() if one == fast else pytest.mark.slow)
        for one in ((kind, *rest) for kind in KINDS for rest in options)
    ]


@pytest.mark.parametrize(
    ("axis_type", "batch_size", "players"),
    products((None, True), (3, False), fast=(AxisType.Explicit, 3, False)),
)
@pytest.mark.slow
@running.quickly()
def test_sharded_equals_unsharded(axis_type, batch_size, players):
    loss = losses if players else lambda p: jnp.sum(losses(p))
    fn = jax.jit(es_value_and_grad(loss, 0.2, 7, batch_size=batch_size))
    expected = fn(KEY, PARAMS)
    mesh = mesh_of(axis_type)
    with jax.set_mesh(mesh):
        params = placed(mesh)
        value, grads = fn(KEY, params)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    assert_close_and_placed(grads, expected[1], params, players)


def test_a_distribution_is_sharded_like_its_mean():
    mesh = mesh_of(AxisType.Explicit)
    with jax.set_mesh(mesh):
        start = init_gaussian(placed(mesh), 0.2)
    assert start.log_sigma["w"].sharding.is_equivalent_to(start.mean["w"].sharding, 2)


@pytest.mark.slow
@pytest.mark.parametrize("axis_type", KINDS)
@running.quickly()
def test_a_distribution_sharded_equals_unsharded(axis_type):
    fn = jax.jit(snes_value_and_grad(losses, 6, batch_size=4))
    expected = fn(KEY, init_gaussian(PARAMS, 0.2))[1]
    mesh = mesh_of(axis_type)
    with jax.set_mesh(mesh):
        start = init_gaussian(placed(mesh), 0.2)
        _, grads = fn(KEY, start)
    assert_close_and_placed(grads, expected, start, players=True)


@pytest.mark.parametrize(
    ("axis_type", "batch_size", "kept"),
    products((None, 0), (2, 0), (2, 10**6), fast=(AxisType.Auto, 2, 0)),
)
def test_nothing_of_the_parameters_size_is_gathered(
    monkeypatch, axis_type, batch_size, kept
):
    monkeypatch.setattr(_pairs, "_KEPT", kept)
    mesh = mesh_of(axis_type)
    with jax.set_mesh(mesh):
        options = {"batch_size": batch_size}
        fn = jax.jit(es_value_and_grad(lambda p: jnp.sum(p**2), 0.2, 4, **options))
        params = jax.device_put(
            np.ones((64, 8), np.float32), NamedSharding(mesh, P("data"))
        )
        text = fn.lower(KEY, params).compile().as_text()
    assert re.findall(r"= \S+ all-reduce", text)
    assert not re.findall(r"all-gather|all-to-all|f32\[[24],64,8\]", text)
