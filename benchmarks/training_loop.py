"""What `fit` costs beside a hand-written Flax loop and the bare jitted step, on digits.

    python benchmarks/training_loop.py [--rounds 15]

All train the same NNX network with Adam on batches of 64, compiled before the clock
starts. They take turns in an order that is drawn, and the medians of paired ratios are
printed, of wall time and of CPU seconds: neighbors on the machine then slow all of them
alike. Fails where `fit` takes more than 1.05 of the bare step by both clocks, with data
of either kind.
"""

import argparse
import random
import statistics
import sys
import time

import jax
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

from neat_optax import training

BATCH = 64
EPOCHS = 20
LIMIT = 1.05
Seconds = tuple[float, float]  # of wall time, and of CPUs


def main() -> None:
    """Prints one line for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    images, labels = load_digits(return_X_y=True)
    data = (images / 16).astype(np.float32), labels.astype(np.int32)
    batches = [
        jax.device_put(tuple(part[i : i + BATCH] for part in data))
        for i in range(0, len(labels) - BATCH + 1, BATCH)
    ]
    step = training.train_step(training.from_nnx(network()), loss, optax.adam(1e-3))
    runs = {
        "bare jitted step": bare(step, batches),
        "flax loop": by_hand(batches),
        "fit, iterable": lambda: fit(step, batches),
        "fit, arrays": lambda: fit(step, data, batch_size=BATCH),
    }
    seconds = measure(runs, rounds)
    print(jax.devices()[0].device_kind, f"{len(batches)} steps in each of {EPOCHS}")
    for name, values in seconds.items():
        wall, cpu = (statistics.median(x) for x in zip(*values, strict=True))
        per_step = 1e6 / (EPOCHS * len(batches))
        print(
            f"{name:18} {wall * per_step:8.1f} us per step, {cpu * per_step:8.1f} CPU"
        )
    slow = []
    for base in ("bare jitted step", "flax loop"):
        for name in ("fit, iterable", "fit, arrays"):
            wall, cpu = ratios(seconds[name], seconds[base])
            print(f"{name:14} / {base:18} {wall:6.3f} wall, {cpu:6.3f} CPU")
            if min(wall, cpu) > LIMIT:
                slow.append(f"{name} / {base}")
    if slow:
        sys.exit(f"more than {LIMIT}: {', '.join(slow)}")


def ratios(ones: list[Seconds], others: list[Seconds]) -> Seconds:
    """The medians of paired ratios, by both clocks."""
    pairs = list(zip(ones, others, strict=True))
    wall, cpu = (statistics.median(a[i] / b[i] for a, b in pairs) for i in (0, 1))
    return wall, cpu


def now() -> Seconds:
    """Both clocks."""
    return time.perf_counter(), time.process_time()


def since(begun: Seconds) -> Seconds:
    """What both clocks have counted."""
    wall, cpu = now()
    return wall - begun[0], cpu - begun[1]


def network() -> nnx.Sequential:
    """A hidden layer of 128 units."""
    rngs = nnx.Rngs(0)
    return nnx.Sequential(
        nnx.Linear(64, 128, rngs=rngs), nnx.relu, nnx.Linear(128, 10, rngs=rngs)
    )


def loss(model: nnx.Module, batch: tuple) -> jax.Array:
    """Cross-entropy of each example."""
    logits = model(batch[0])
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch[1])


def bare(step: training.Step, batches: list):
    """The jitted step in a loop without anything else."""
    update = jax.jit(step.update, donate_argnums=0)

    def run() -> Seconds:
        state, _ = update(step.init(0), batches[0])  # compiles it, the first time
        jax.block_until_ready(state.params)
        begun = now()
        for _ in range(EPOCHS):
            for batch in batches:
                state, _ = update(state, batch)
        jax.block_until_ready(state.params)
        return since(begun)

    return run


def by_hand(batches: list):
    """As Flax's documentation writes it, with the mean loss of each epoch."""
    tx = optax.adam(1e-3)

    @nnx.jit
    def train(model: nnx.Module, optimizer: nnx.Optimizer, batch: tuple):
        value, grads = nnx.value_and_grad(lambda m: loss(m, batch).mean())(model)
        optimizer.update(model, grads)
        return value

    model = network()
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    def run() -> Seconds:
        float(train(model, optimizer, batches[0]))  # compiles it, the first time
        begun = now()
        for _ in range(EPOCHS):
            values = [train(model, optimizer, batch) for batch in batches]
            float(np.mean(jax.device_get(values)))
        return since(begun)

    return run


class Clock(training.Callback):
    """Reads the clocks from the second epoch on: compiling and `init` lie before."""

    ahead = True

    def on_train_begin(self, run: training.Run) -> None:
        """Remembers whose epochs they are."""
        self.run = run

    def on_epoch_begin(self, epoch: int) -> None:
        """Starts when what the first epoch has launched is done."""
        if epoch == 1:
            jax.block_until_ready(self.run.state.params)
            self.begun = now()

    def on_train_end(self) -> None:
        """Stops when everything is done."""
        jax.block_until_ready(self.run.state.params)
        self.seconds = since(self.begun)


def fit(step: training.Step, data: object, batch_size: int | None = None) -> Seconds:
    """What `EPOCHS` epochs take after one that compiles."""
    clock = Clock()
    training.fit(
        step, data, epochs=EPOCHS + 1, callbacks=[clock], batch_size=batch_size
    )
    return clock.seconds


def measure(runs: dict, rounds: int) -> dict[str, list[Seconds]]:
    """What each takes, in turns; the first turn is left out."""
    taken: dict[str, list[Seconds]] = {name: [] for name in runs}
    draw = random.Random(0)
    for number in range(rounds + 1):
        for name in draw.sample(list(runs), len(runs)):
            seconds = runs[name]()
            if number:
                taken[name].append(seconds)
    return taken


if __name__ == "__main__":
    main()
