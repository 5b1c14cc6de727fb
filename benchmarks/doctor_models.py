"""Three models of others, for the doctor to look at.

cd benchmarks; neat-optax doctor doctor_models:flax_classes

needs Fashion-MNIST's files in the folder of NEAT_OPTAX_DATA; `jinns_burgers` needs
jinns, `solar_flares` river and equinox.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from neat_optax.experiments.data import load

BATCHES = 24


class CNN(nnx.Module):
    """The network of Flax's first tutorial."""

    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 32, kernel_size=(3, 3), rngs=rngs)
        self.norm1 = nnx.BatchNorm(32, rngs=rngs)
        self.dropout1 = nnx.Dropout(0.025, rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, kernel_size=(3, 3), rngs=rngs)
        self.norm2 = nnx.BatchNorm(64, rngs=rngs)
        self.linear1 = nnx.Linear(3136, 256, rngs=rngs)
        self.dropout2 = nnx.Dropout(0.025, rngs=rngs)
        self.linear2 = nnx.Linear(256, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, 10] logits of [B, 28, 28, 1] images."""
        pool = functools.partial(nnx.avg_pool, window_shape=(2, 2), strides=(2, 2))
        x = pool(nnx.relu(self.norm1(self.dropout1(self.conv1(x)))))
        x = pool(nnx.relu(self.norm2(self.conv2(x))))
        x = nnx.relu(self.dropout2(self.linear1(x.reshape(len(x), -1))))
        return self.linear2(x)


def flax_classes() -> tuple[Any, ...]:
    """A network for one task, whose ten classes are the players."""
    x, y = load("fashion-mnist").train
    rows = np.random.default_rng(0).permutation(len(x))[: 32 * BATCHES]
    images = np.asarray(x, np.float32).reshape(-1, 28, 28, 1)

    def losses(model: CNN, batch: Any) -> jax.Array:
        each = optax.losses.softmax_cross_entropy_with_integer_labels(
            model(batch[0]), batch[1]
        )
        of_class = batch[1][:, None] == jnp.arange(10)[None]
        return 10 * jnp.mean(each[:, None] * of_class, axis=0)

    batches = [(images[n], y[n]) for n in np.split(rows, BATCHES)]
    return losses, CNN(nnx.Rngs(0)), batches


def jinns_burgers() -> dict[str, Any]:
    """Burgers' equation as jinns poses it: residual, boundary, initial condition."""
    import equinox as eqx
    import jinns
    from jinns.data import CubicMeshPDENonStatio

    layers = ((eqx.nn.Linear, 2, 20), (jax.nn.tanh,))
    layers += 3 * ((eqx.nn.Linear, 20, 20), (jax.nn.tanh,))
    net, start = jinns.nn.PINN_MLP.create(
        key=jax.random.key(0),
        eqx_list=(*layers, (eqx.nn.Linear, 20, 1)),
        eq_type="PDENonStatio",
    )
    equation = {"nu": jnp.array(0.01 / jnp.pi)}
    of_equation = functools.partial(jinns.parameters.Params, eq_params=equation)
    loss = jinns.loss.LossPDENonStatio(
        u=net,
        loss_weights=jinns.loss.LossWeightsPDENonStatio(
            dyn_loss=1.0, boundary_loss=1.0, initial_condition=1.0
        ),
        dynamic_loss=jinns.loss.BurgersEquation(Tmax=1.0),
        initial_condition_fun=lambda x: -jnp.sin(jnp.pi * x),
        boundary_condition=jinns.loss.Dirichlet(),
        params=of_equation(nn_params=start),
    )

    def losses(weights: Any, batch: Any) -> dict[str, jax.Array]:
        terms = loss.evaluate(of_equation(nn_params=weights), batch)[1]
        return {
            "residual": terms.dyn_loss[0],
            "boundary": terms.boundary_loss,
            "initial": terms.initial_condition,
        }

    points, batches = 256 * BATCHES, []
    mesh = CubicMeshPDENonStatio(
        key=jax.random.key(1),
        n=points,
        nb=points,
        ni=points,
        domain_batch_size=256,
        border_batch_size=64,
        initial_batch_size=64,
        dim=1,
        min_pts=(-1.0,),
        max_pts=(1.0,),
        tmin=0.0,
        tmax=1.0,
    )
    for _ in range(BATCHES):
        mesh, batch = mesh.get_batch()
        batches.append(batch)
    return {"losses_fn": losses, "params": start, "batches": batches}


def solar_flares() -> dict[str, Any]:
    """Which flares a sunspot will have, rare ones among them: an Equinox MLP."""
    import equinox as eqx
    import pandas as pd
    from river.datasets import SolarFlare

    rows, counts = map(pd.DataFrame, zip(*SolarFlare(), strict=True))
    features = pd.get_dummies(rows.astype(str)).to_numpy(np.float32)
    common, strong = counts["c-class-flares"], counts["m-class-flares"]
    labels = np.stack([common > 0, common > 1, strong > 0], axis=1)
    order = np.random.default_rng(0).permutation(len(rows))[: 64 * 16]
    net = eqx.nn.MLP(features.shape[1], 3, 64, 2, key=jax.random.key(0))
    start, rest = eqx.partition(net, eqx.is_inexact_array)

    def losses(weights: Any, batch: Any) -> jax.Array:
        logits = jax.vmap(eqx.combine(weights, rest))(batch[0])
        return optax.losses.sigmoid_binary_cross_entropy(logits, batch[1]).mean(axis=0)

    return {
        "losses_fn": losses,
        "params": start,
        "batches": [(features[n], labels[n]) for n in np.split(order, 16)],
        "players": ("a common flare", "several", "a strong flare"),
    }
