"""Trains on eight host devices and prints what differs from one; run by its test."""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))

import keras
import numpy as np
import optax

import neat_optax as neo
from keras_nets import network, train, weights
from neat_optax.keras import ExamplePlayers, OptaxOptimizer

SPLIT = {"first/kernel": (None, "model"), "first/bias": ("model",)}


class Examples(ExamplePlayers, keras.Sequential):
    pass


CHAINS = {
    "neat": (keras.Sequential, lambda: neo.neat(0.1, monitor=True)),
    "masks": (
        keras.Sequential,
        lambda: optax.chain(
            neo.neat_correction(scope=neo.whole_tree),
            optax.adam(0.01),
            neo.sparsity.prune_to_sparsity(0.5, every=2),
        ),
    ),
    "players": (
        Examples,
        lambda: optax.chain(neo.aggregators.moco(num_players=8), optax.adam(0.01)),
    ),
}


def distribution(kind):
    if kind == "alone":
        return None
    if kind == "data":
        return keras.distribution.DataParallel()
    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"], devices)
    layouts = keras.distribution.LayoutMap(mesh)
    for path, axes in SPLIT.items():
        layouts[f"net/{path}"] = axes
    return keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")


def trained(kind, name):
    """The weights, and how each variable of the optimizer lies on the devices."""
    keras.distribution.set_distribution(distribution(kind))
    model_kind, make = CHAINS[name]
    model, optimizer = network(model_kind), OptaxOptimizer(make())
    options = {"num_players": 8} if name == "players" else {}
    train(model, optimizer, **options)
    specs = {
        variable.name: list(getattr(variable.value.sharding, "spec", ()))
        for variable in optimizer.variables
    }
    return weights(model), specs


def main():
    report = {}
    for name in CHAINS:
        alone, _ = trained("alone", name)
        start = weights(network())
        for kind in ("data", "model"):
            found, specs = trained(kind, name)
            apart = max(float(np.abs(found[k] - x).max()) for k, x in alone.items())
            moved = min(float(np.abs(found[k] - x).max()) for k, x in start.items())
            report[f"{name} {kind}"] = {"apart": apart, "moved": moved, "specs": specs}
    print(json.dumps(report))


main()
