"""Times steps that know every example against the step of the mean gradient.

`python benchmarks/players.py` prints the gates of factored players: time, temporary
memory, and what tracing and compiling takes, as multiples of those of the plain step of
the same model. All steps take turns in one process. `--explicit` adds steps that form
the gradient of every example.
"""

import argparse
import statistics
import time
from typing import NamedTuple

import gates
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import neat_optax as neo
from neat_optax import aggregators

ROUNDS = 25
SGD = optax.sgd(0.01)
NEAT, UPGRAD = neo.player_neat_correction(0.5), aggregators.upgrad()
RNG = np.random.default_rng(0)


class Dense(nn.Module):
    """Dense layers."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        """Logits."""
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(10)(x)


class Convolutional(nn.Module):
    """Two convolutions and two dense layers."""

    @nn.compact
    def __call__(self, x):
        """Logits."""
        for width in (16, 32):
            x = nn.max_pool(nn.relu(nn.Conv(width, (3, 3))(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(128)(x.reshape(*x.shape[:-3], -1)))
        return nn.Dense(10)(x)


class Transformer(nn.Module):
    """Four layers of width 128, of the mean over places."""

    @nn.compact
    def __call__(self, ids):
        """Logits."""
        embed = nn.Embed(512, 128)
        places = self.param("places", nn.initializers.normal(0.02), (64, 128))
        x = embed(ids) + places
        for _ in range(4):
            x = x + nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(x))
            x = x + nn.Dense(128)(nn.gelu(nn.Dense(512)(nn.LayerNorm()(x))))
        return nn.Dense(10)(jnp.mean(x, axis=-2))


class Work(NamedTuple):
    """A model, a batch, and the gates of its steps: multiples of time and memory."""

    name: str
    model: nn.Module
    x: np.ndarray
    steps: dict[str, tuple[optax.GradientTransformation, float | None]]
    memory: float


def images(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


WORKS = [
    Work("MLP, 64", Dense((256, 256)), images(64, 784), {"NEAT": (NEAT, 1.4)}, 4),
    Work("MLP, 256", Dense((256, 256)), images(256, 784), {"NEAT": (NEAT, 2.0)}, 4),
    Work(
        "MLP 32-128-128-10, 128",
        Dense((128, 128)),
        images(128, 32),
        {"UPGrad": (UPGRAD, 20)},
        4,
    ),
    Work("CNN, 64", Convolutional(), images(64, 28, 28, 1), {"NEAT": (NEAT, 1.35)}, 2),
    Work(
        "CNN, 256", Convolutional(), images(256, 28, 28, 1), {"NEAT": (NEAT, 1.35)}, 2
    ),
    Work(
        "CNN 32 x 32 x 3, 128",
        Convolutional(),
        images(128, 32, 32, 3),
        {"UPGrad": (UPGRAD, 2)},
        2,
    ),
    Work(
        "transformer, 32 of length 64",
        Transformer(),
        RNG.integers(0, 512, (32, 64)),
        {"mean": (aggregators.mean(), None), "NEAT": (NEAT, 1.25)},
        1.3,
    ),
]


def make_steps(work: Work, explicit: bool):
    """Steps of a work by name, the plain one first."""

    def loss(params, x, label):
        logits = work.model.apply(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, label)

    def plain(params, state, x, labels):
        mean = lambda p: jnp.mean(loss(p, x, labels))  # noqa: E731
        updates, state = SGD.update(jax.grad(mean)(params), state, params)
        return optax.apply_updates(params, updates), state

    def of_players(tx, factored):
        of_each = neo.value_and_example_grads(loss, factored=factored)
        chain = optax.chain(tx, SGD)

        def step(params, state, x, labels):
            _, gradients = of_each(params, x, labels)
            updates, state = chain.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        return step, chain

    found = {"plain": (plain, SGD)}
    for name, (tx, _) in work.steps.items():
        found[name] = of_players(tx, True)
        if explicit:
            found[f"{name}, explicit"] = of_players(tx, False)
    return found


class Cost(NamedTuple):
    """Of one step, as multiples of the plain one."""

    time: float
    memory: float
    compilation: float


def measure(work: Work, explicit: bool) -> dict[str, Cost]:
    """Of every step of a work."""
    labels = RNG.integers(0, 10, len(work.x))
    params = work.model.init(jax.random.key(0), work.x)
    programs, compilation = {}, {}
    for name, (step, tx) in make_steps(work, explicit).items():
        arguments = params, tx.init(params), work.x, labels
        begun = time.process_time()
        programs[name] = jax.jit(step).lower(*arguments).compile(), arguments
        compilation[name] = time.process_time() - begun
    times = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, (program, arguments) in programs.items():
            begun = time.perf_counter()
            jax.block_until_ready(program(*arguments))
            times[name].append(time.perf_counter() - begun)
    held = {
        name: program.memory_analysis().temp_size_in_bytes
        for name, (program, _) in programs.items()
    }
    return {
        name: Cost(
            statistics.median(np.divide(times[name], times["plain"])),
            held[name] / held["plain"],
            compilation[name] / compilation["plain"],
        )
        for name in programs
    }


def rows(work: Work, costs: dict[str, Cost]) -> list[gates.Gate]:
    """Lines of the table."""
    lines = []
    for name, cost in list(costs.items())[1:]:
        most = work.steps.get(name, (None, None))[1]
        figure = f"{cost.time:.2f}, {cost.memory:.1f}, {cost.compilation:.1f}"
        target = "" if most is None else f"<= {most}, {work.memory}, 3"
        met = (
            None
            if most is None
            else cost.time <= most
            and cost.memory <= work.memory
            and cost.compilation <= 3
        )
        lines.append(gates.Gate(f"{name}, {work.name}", target, figure, met))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--explicit", action="store_true", help="form the gradients too"
    )
    options = parser.parse_args()
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}")
    print("multiples of the plain step: time, temporary memory, compilation")
    lines = []
    for work in WORKS:
        lines += rows(work, measure(work, options.explicit))
    gates.show(lines)


if __name__ == "__main__":
    main()
