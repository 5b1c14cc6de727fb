"""What `player_train_step` costs over `train_step` where examples are the players.

    python benchmarks/player_training.py [--rounds 15]

Models of NNX on images of 28 x 28, in batches of 64. All steps of a model are compiled
before the clock starts, and take turns: neighbors on the machine then slow all of them
alike. Printed are medians of paired ratios of wall time, temporary memory as XLA plans
it, and CPU seconds to trace and compile.
"""

import argparse
import statistics
import time
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

import neat_optax as neo
from neat_optax import aggregators, training
from neat_optax.experiments.models import CNN, MLP

BATCH = 64
SGD = optax.sgd(0.01)
CHAINS = {
    "NEAT": optax.chain(neo.player_neat_correction(0.5), SGD),
    "UPGrad": optax.chain(aggregators.upgrad(), SGD),
}
RNG = np.random.default_rng(0)


def main() -> None:
    """Prints one line for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    x = RNG.normal(size=(BATCH, 784)).astype(np.float32)
    batch = jax.device_put((x, RNG.integers(0, 10, BATCH)))
    networks = {
        "MLP": MLP(784, 10, rngs=nnx.Rngs(0)),
        "CNN": CNN((28, 28, 1), 10, rngs=nnx.Rngs(0)),
    }
    print(jax.devices()[0].device_kind, f"batches of {BATCH}")
    for name, network in networks.items():
        show(name, make_steps(training.from_nnx(network)), batch, rounds)


def make_steps(model: training.Model) -> dict[str, training.Step]:
    """The plain step first."""
    steps = {"plain": training.train_step(model, loss, SGD)}
    for name, tx in CHAINS.items():
        for kind, factored in (("factors", True), ("formed", False)):
            players = training.examples(factored=factored)
            steps[f"{name}, {kind}"] = training.player_train_step(
                model, loss, tx, players=players
            )
    return steps


def show(
    network: str, steps: dict[str, training.Step], batch: Any, rounds: int
) -> None:
    """Measures all steps of a model in turns."""
    programs, memory, compilation = {}, {}, {}
    for name, step in steps.items():
        state = step.init()
        begun = time.process_time()
        program = jax.jit(step.update).lower(state, batch).compile()
        compilation[name] = time.process_time() - begun
        plan: Any = program.memory_analysis()
        memory[name] = plan.temp_size_in_bytes
        programs[name] = program, state
    seconds = {name: [] for name in programs}
    for _ in range(rounds):
        for name, (program, state) in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(state, batch))
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        ratio = statistics.median(np.divide(times, seconds["plain"]))
        print(
            f"{network}: {name:16} {ratio:6.2f} x the time, {memory[name] / 1e6:8.1f} "
            f"MB, {memory[name] / memory['plain']:6.2f} x the memory, "
            f"{compilation[name]:.1f} s to compile"
        )


def loss(model: Any, batch: Any) -> jax.Array:
    """Cross-entropy of each image."""
    logits = model(batch[0])
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch[1])


if __name__ == "__main__":
    main()
