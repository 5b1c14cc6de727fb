"""What `fit` costs beside a hand-written Flax loop and the bare jitted step, on digits.

    python benchmarks/training_loop.py [--rounds 7]

All three train the same NNX network with Adam on batches of 64, compiled before the
clock starts. They take turns, epoch by epoch, and the medians of paired ratios are
printed: neighbors on the machine then slow all of them alike.
"""

import argparse
import statistics
import time

import jax
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

from neat_optax import training

BATCH = 64
EPOCHS = 20


def main() -> None:
    """Prints one line for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
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
        per_step = statistics.median(values) / (EPOCHS * len(batches)) * 1e6
        print(f"{name:18} {per_step:8.1f} us per step")
    for name, base in (
        ("fit, iterable", "bare jitted step"),
        ("fit, arrays", "bare jitted step"),
        ("fit, iterable", "flax loop"),
        ("fit, arrays", "flax loop"),
    ):
        pairs = zip(seconds[name], seconds[base], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        best = min(seconds[name]) / min(seconds[base])
        print(f"{name:14} / {base:18} {ratio:6.3f}  (of the best: {best:.3f})")


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

    def run() -> float:
        state, _ = update(step.init(0), batches[0])  # compiles it, the first time
        begun = time.perf_counter()
        for _ in range(EPOCHS):
            for batch in batches:
                state, _ = update(state, batch)
        jax.block_until_ready(state.params)
        return time.perf_counter() - begun

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

    def run() -> float:
        train(model, optimizer, batches[0])  # compiles it, the first time
        begun = time.perf_counter()
        for _ in range(EPOCHS):
            values = [train(model, optimizer, batch) for batch in batches]
            float(np.mean(jax.device_get(values)))
        return time.perf_counter() - begun

    return run


class Clock(training.Callback):
    """When the epochs begin and end: compiling and `init` lie before."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Reads the clock after the first epoch, in which all is compiled."""
        del logs
        if epoch == 0:
            self.begun = time.perf_counter()

    def on_train_end(self) -> None:
        """Reads it again."""
        self.seconds = time.perf_counter() - self.begun


def fit(step: training.Step, data: object, **options: int) -> float:
    """Seconds of `EPOCHS` epochs after one that compiles."""
    clock = Clock()
    training.fit(step, data, epochs=EPOCHS + 1, callbacks=[clock], **options)
    return clock.seconds


def measure(runs: dict, rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turns; the first turn is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            taken = run()
            if number:
                seconds[name].append(taken)
    return seconds


if __name__ == "__main__":
    main()
