"""Time of one optimizer step, as a ratio to Adam's in the same process.

    python benchmarks/step_time.py [--quick] [--rounds N]

Every optimizer is built from the public API, with parameters and state donated. The
candidates take turns in random order; a ratio is the median over rounds of a
candidate's time divided by Adam's in the same round. Next to it: the bytes that the
compiled step says it touches, at which share of the bandwidth of a plain copy in the
same run, the temporary memory of the compiled step, and its defensive copies.
"""

import argparse
import functools
import random
import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

import neat_optax as neo

RATE = 1e-3
RULES = (neo.detect_conflict(), neo.project_conflict(0.25), neo.clip_correction(1.0))


def composed(opponent):
    """The default correction, composed by hand from its rules."""
    return neo.contest(opponent, optax.chain(*RULES))


CANDIDATES = {
    "adam": optax.adam(RATE),
    "sgd momentum": optax.sgd(RATE, momentum=0.9),
    "lion": optax.lion(RATE),
    "scale_by_neat": optax.chain(
        neo.scale_by_neat(), optax.scale_by_learning_rate(RATE)
    ),
    "neat_correction(ema) + sgd": optax.chain(neo.neat_correction(), optax.sgd(RATE)),
    "contest(ema, rules) + sgd": optax.chain(
        composed(neo.opponents.gradient_ema(0.9)), optax.sgd(RATE)
    ),
    "neat_correction(previous) + sgd": optax.chain(
        neo.neat_correction(opponent=neo.opponents.previous_gradient()), optax.sgd(RATE)
    ),
    "neat(monitor=True)": neo.neat(RATE, monitor=True),
}
SHAPES = {
    "1e5, 1 leaf": ((250, 400), 1),
    "1e5, 100 leaves": ((1000,), 100),
    "1e6, 1 leaf": ((1000, 1000), 1),
    "1e6, 100 leaves": ((100, 100), 100),
    "1e7, 1 leaf": ((2500, 4000), 1),
    "1e7, 100 leaves": ((250, 400), 100),
}


class Runner(NamedTuple):
    """A compiled step and what it works on."""

    compiled: jax.stages.Compiled
    carry: list  # [params, state], replaced at each call: the step donates them
    gradient: list

    def __call__(self, repeats: int) -> float:
        """Seconds per step over `repeats` steps."""
        jax.block_until_ready(self.carry)
        start = time.perf_counter()
        for _ in range(repeats):
            self.carry[:] = self.compiled(*self.carry, self.gradient)
        jax.block_until_ready(self.carry)
        return (time.perf_counter() - start) / repeats


def make_step(optimizer):
    """A jitted step that donates parameters and state."""

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, gradient):
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    return step


def make_runner(optimizer, shape, leaves) -> Runner:
    key = jax.random.key(0)
    gradient = [
        jax.random.normal(jax.random.fold_in(key, i), shape) for i in range(leaves)
    ]
    params = [jnp.ones(shape) for _ in range(leaves)]
    carry = [params, jax.jit(optimizer.init)(params)]
    compiled = make_step(optimizer).lower(*carry, gradient).compile()
    return Runner(compiled, carry, gradient)


def time_together(runners, rounds, repeats):
    """Seconds per step for each runner, round by round."""
    times = {name: [] for name in runners}
    order = list(runners)
    for runner in runners.values():
        runner(2)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            times[name].append(runners[name](repeats))
    return times


def copy_bandwidth(elements: int) -> float:
    """Bytes per second of a plain copy: one read and one write per element."""
    copy = jax.jit(lambda x: x + 1.0, donate_argnums=0)
    x = copy(jnp.zeros(elements))
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        x = jax.block_until_ready(copy(x))
        seconds.append(time.perf_counter() - start)
    return 8 * elements / statistics.median(seconds)


def report_steps(rounds: int, names) -> None:
    bandwidth = copy_bandwidth(10_000_000)
    print(f"copy bandwidth {bandwidth / 1e9:.1f} GB/s, median of {rounds} rounds\n")
    for label in names:
        shape, leaves = SHAPES[label]
        size = leaves * functools.reduce(int.__mul__, shape)
        runners = {
            name: make_runner(tx, shape, leaves) for name, tx in CANDIDATES.items()
        }
        times = time_together(runners, rounds, repeats=max(1, 2_000_000 // size))
        adam = times["adam"]
        print(f"{label}: adam {1e3 * statistics.median(adam):.3f} ms")
        print(
            "  optimizer                        x adam  MB touched  % copy  temp MB"
            "  copies"
        )
        for name, runner in runners.items():
            ratio = statistics.median(
                t / a for t, a in zip(times[name], adam, strict=True)
            )
            touched = runner.compiled.cost_analysis()["bytes accessed"]
            rate = touched / statistics.median(times[name]) / bandwidth
            temp = runner.compiled.memory_analysis().temp_size_in_bytes
            copies = runner.compiled.as_text().count(" copy(")
            print(
                f"  {name:32} {ratio:6.2f} {touched / 1e6:11.1f} {100 * rate:7.0f}"
                f" {temp / 1e6:8.1f} {copies:7d}"
            )
        print()


def report_compile(leaves: int, rounds: int) -> None:
    """Trace, lower and compile time for a tree of many leaves in eight shapes."""
    shapes = [(8 + i % 8, 16) for i in range(leaves)]
    params = [jnp.ones(shape) for shape in shapes]
    chosen = ("adam", "scale_by_neat", "neat_correction(ema) + sgd")
    seconds = {name: [] for name in chosen}
    for _ in range(rounds):
        for name in chosen:
            state = CANDIDATES[name].init(params)
            jax.clear_caches()
            start = time.perf_counter()
            make_step(CANDIDATES[name]).lower(params, state, params).compile()
            seconds[name].append(time.perf_counter() - start)
    adam = statistics.median(seconds["adam"])
    print(f"trace and compile, {leaves} leaves: adam {adam:.1f} s")
    for name in chosen[1:]:
        print(f"  {name:32} {statistics.median(seconds[name]) / adam:6.2f} x adam")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--quick", action="store_true", help="the smallest sizes only")
    parser.add_argument("--size", action="append", choices=list(SHAPES))
    args = parser.parse_args()
    names = args.size or (list(SHAPES)[:2] if args.quick else list(SHAPES))
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}")
    report_steps(args.rounds, names)
    report_compile(leaves=100 if args.quick else 1000, rounds=3)


if __name__ == "__main__":
    main()
