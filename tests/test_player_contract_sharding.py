"""Every reduction of players on a mesh of eight devices, and through a checkpoint."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import player_table as table
import properties

EVERY = table.each()
PARAMS = {
    "w": np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32),
    "b": np.array(0.5, np.float32),
}
SPECS = {"w": P("data"), "b": P()}


def _mesh(axis_type):
    return jax.make_mesh((8,), ("data",), axis_types=(axis_type,))


def _place(tree, mesh, players=False):
    """The parameters' axis is sharded; the players' is not."""
    specs = {k: P(None, *s) for k, s in SPECS.items()} if players else SPECS
    return jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), tree, specs
    )


@table.each(table.SHELLS)
def test_sharded_equals_unsharded(name):
    check_sharded(name, AxisType.Explicit)


@table.each(["aligned_mtl", "player_neat", "trimmed_mean"])
def test_sharded_on_a_mesh_whose_axes_are_automatic(name):
    check_sharded(name, AxisType.Auto)


def check_sharded(name, axis_type):
    tx, step = table.jitted(name)
    params = jax.tree.map(jnp.asarray, PARAMS)
    gradients = table.at(table.gradients(1, like=PARAMS), 0)
    expected, _ = step(gradients, tx.init(params), params)
    mesh = _mesh(axis_type)
    with jax.set_mesh(mesh):
        placed = _place(PARAMS, mesh)
        state = tx.init(placed)
        update, after = step(_place(gradients, mesh, players=True), state, placed)
    properties.assert_trees_close(update, expected, rtol=2e-5, atol=1e-5)
    properties.assert_same_types(after, state)
    for key in PARAMS:
        assert update[key].sharding.is_equivalent_to(
            placed[key].sharding, update[key].ndim
        ), (key, update[key].sharding)


@EVERY
def test_checkpoint_round_trip(name, tmp_path):
    """Typed random keys included."""
    tx, step = table.jitted(name)
    params = table.params_like(np.float32)
    stacked = table.gradients(2)
    state = table.play(step, tx.init(params), params, stacked, 2)[1]
    target = jax.eval_shape(tx.init, params)
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", target)
    properties.assert_trees_equal(table.plain(restored), table.plain(state))
