"""Eight devices, data parallel: the examples of each device are one player of UPGrad.

Where there are no accelerators the CPU plays eight, to show that it works, not speed.
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import neat_optax as neo
from neat_optax import aggregators

jax.config.update("jax_num_cpu_devices", 8)
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
everywhere = NamedSharding(mesh, PartitionSpec())
by_players = NamedSharding(mesh, PartitionSpec("data"))
by_weights = NamedSharding(mesh, PartitionSpec(None, "data"))
model = nnx.Linear(16, 8, rngs=nnx.Rngs(0))
graph, params = nnx.split(model, nnx.Param)
tx = optax.chain(aggregators.upgrad(), optax.adam(0.05))


def train_step(params, state, x, y):
    error = lambda p, x, y: jnp.mean((nnx.merge(graph, p)(x) - y) ** 2)  # noqa: E731
    of_players = neo.value_and_example_grads(error, num_players=8)
    losses, grads = of_players(params, x, y)  # each device has those of its player
    grads = jax.lax.with_sharding_constraint(grads, by_weights)  # of all, for its part
    updates, state = tx.update(grads, state, params)
    return optax.apply_updates(params, updates), state, losses.mean()


x = jax.device_put(jax.random.normal(jax.random.key(2), (256, 16)), by_players)
y = jnp.sin(x[:, :8]) + x[:, 8:]
carry, step = (params, tx.init(params)), jax.jit(train_step, out_shardings=everywhere)
for number in range(31):
    *carry, loss = jax.block_until_ready(step(*carry, x, y))
    if number % 30 == 0:
        print(f"step {number}: loss {loss:.2f} on {len(loss.devices())} devices")
