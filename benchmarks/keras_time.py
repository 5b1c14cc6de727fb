"""Time of one step of Keras's `fit` with an optax chain, as a ratio to its own Adam.

    KERAS_BACKEND=jax python benchmarks/keras_time.py [--rounds N] [--cpu]

All candidates train the same model on the same batches and take turns in random order.
What is timed is an epoch of `fit` without its first, which compiles. Printed are the
best time of a step, its ratio to Adam's best, and the median over rounds of the
ratios within a round. Adam stands there twice, which shows the noise. `--cpu` counts
seconds of CPU, of all threads, for a machine that others use at the same time.
"""

import argparse
import os
import random
import statistics
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import neat_optax as neo
from neat_optax.keras import NEAT, OptaxOptimizer

CANDIDATES = {
    "keras Adam": lambda: keras.optimizers.Adam(1e-3),
    "keras Adam, again": lambda: keras.optimizers.Adam(1e-3),
    "scale_by_neat": lambda: OptaxOptimizer(neo.scale_by_neat(), 1e-3),
    "NEAT(monitor=False)": lambda: NEAT(monitor=False),
    "NEAT": lambda: NEAT(),
}
STEPS, BATCH = 40, 64
WIDTHS = {"digits, 64-128-64-10": (128, 64), "64-1024-1024-10": (1024, 1024)}


def build(widths, optimizer, clock):
    """A trained-once model: everything is compiled."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(width, activation="relu") for width in widths]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss)
    epoch(model, clock)
    return model


def epoch(model, clock):
    """Seconds of one epoch."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(STEPS * BATCH, 64)).astype("float32")
    y = generator.integers(0, 10, STEPS * BATCH)
    begin = clock()
    model.fit(x, y, BATCH, verbose=0, shuffle=False)
    return clock() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    rounds, clock = given.rounds, time.process_time if given.cpu else time.perf_counter
    for title, widths in WIDTHS.items():
        models = {
            name: build(widths, make(), clock) for name, make in CANDIDATES.items()
        }
        times = {name: [] for name in models}
        for _ in range(rounds):
            for name in random.sample(list(models), len(models)):
                times[name].append(epoch(models[name], clock))
        print(f"{title}, {STEPS} steps of {BATCH}, {rounds} rounds")
        for name, taken in times.items():
            ratios = [a / b for a, b in zip(taken, times["keras Adam"], strict=True)]
            best, of_adam = min(taken), min(times["keras Adam"])
            print(
                f"  {name:20} {best / STEPS * 1e3:7.3f} ms  "
                f"best {best / of_adam:5.2f}  median {statistics.median(ratios):5.2f}"
            )


if __name__ == "__main__":
    main()
