"""The gates of evolution: generations per second, and what they find, next to evosax.

    pip install evosax
    python benchmarks/evolution.py [--rounds N] [--problem NAME] [--generations N]

A searcher is compiled as one scan over generations; its time is the median of
interleaved rounds in one process, compilation left out. All evaluate with the same
function, in chunks of one size, and start from the same kind of weights. Sizes of
steps were selected on validation images with other seeds (docs/performance.md).
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import searchers
from gates import Gate, show
from searchers import PROBLEMS, Searcher

OURS_ES = "es_value_and_grad + adam"
OPPONENTS = {
    "evosax SimpleGA": searchers.simple_ga,
    "evosax SimpleGA, tuned": searchers.simple_ga_tuned,
    "evosax Open_ES + adam": searchers.open_es,
}
OURS: dict[str, Callable] = {
    "breeder(crossover=clone)": searchers.breed_clones,
    "breeder()": searchers.breed,
    "breeder, tuned": searchers.breed_tuned,
    OURS_ES: searchers.estimate,
}
NEAREST = {
    "breeder(crossover=clone)": "evosax SimpleGA",
    "breeder()": "evosax SimpleGA, tuned",
    "breeder, tuned": "evosax SimpleGA, tuned",
    OURS_ES: "evosax Open_ES + adam",
}
"""Who ours are to be at least as fast as: one parent or two, or a strategy."""
ACCURACIES = {
    "breeder()": 0.95,
    "breeder, tuned": 0.96,
    OURS_ES: 0.96,
}
"""Test accuracies on digits that ours are to reach."""


class Runner(NamedTuple):
    """A compiled scan over generations, and where it goes on from."""

    searcher: Searcher
    scan: Callable
    carry: list  # [state], replaced at each call

    def __call__(self, generations):
        """Generations per second of the clock, and of the processor."""
        keys = jax.random.split(jax.random.key(1), generations)
        start, start_cpu = time.perf_counter(), time.process_time()
        state, _ = jax.block_until_ready(self.scan(*self.carry, keys))
        self.carry[:] = [state]
        clock, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        return generations / clock, generations / cpu


def make_runner(make, problem, seed=0):
    searcher = make(problem)
    scan = jax.jit(lambda state, keys: jax.lax.scan(searcher.step, state, keys))
    state = jax.jit(searcher.init)(jax.random.key(seed))
    return Runner(searcher, scan, [jax.block_until_ready(state)])


def generations_per_second(problem, rounds):
    """Of all searchers: for each round, by the clock and by the processor."""
    runners = {
        name: make_runner(make, problem) for name, make in (OPPONENTS | OURS).items()
    }
    for runner in runners.values():
        runner(problem.generations)
    speeds = {name: [] for name in runners}
    for _ in range(rounds):
        order = list(runners)
        random.shuffle(order)
        for name in order:
            speeds[name].append(runners[name](problem.generations))
    return speeds


def speed_gates(label, problem, rounds):
    """A line for each searcher."""
    speeds = generations_per_second(problem, rounds)
    for name, speed in speeds.items():
        clock, cpu = (statistics.median(one) for one in zip(*speed, strict=True))
        figure, target, met = f"{clock:.1f} /s, {cpu:.1f} per s of CPU", "", None
        if name in NEAREST:
            pairs = list(zip(speed, speeds[NEAREST[name]], strict=True))
            ratio, by_cpu = (
                statistics.median(a[i] / b[i] for a, b in pairs) for i in (0, 1)
            )
            figure += f"; {ratio:.2f} x {NEAREST[name]} ({by_cpu:.2f} x by CPU)"
            target, met = "as fast", ratio >= 1
        yield Gate(f"{label}, {name}", target, figure, met)


def chunk_gates(label, problem, rounds):
    """What evaluating a strategy's pairs in chunks costs, and the memory it takes."""
    sizes = (1, 4, 8, 16, None)
    runners = {
        n: make_runner(searchers.estimate, problem._replace(pairs=n)) for n in sizes
    }
    keys = jax.random.split(jax.random.key(1), problem.generations)
    times = {size: [] for size in sizes}
    for _ in range(rounds + 1):
        for size, runner in runners.items():
            times[size].append(1000 / runner(problem.generations)[1])
    for size, runner in runners.items():
        compiled = runner.scan.lower(*runner.carry, keys).compile()
        mebibytes = compiled.memory_analysis().temp_size_in_bytes / 2**20
        figure = f"{statistics.median(times[size][1:]):.1f} ms of CPU time a generation"
        name = f"{label}, {OURS_ES}, {size or 'all'} pairs at once"
        yield Gate(name, "", f"{figure}, temporaries {mebibytes:.1f} MiB", None)


def accuracy_gates(label, problem, generations, seeds):
    """Test accuracy of digits after so many generations, over seeds."""
    for name, make in (OPPONENTS | OURS).items():
        policies = [policy_after(make, problem, generations, s) for s in range(seeds)]
        tests = [float(problem.task.test(policy, None)) for policy in policies]
        losses = [-float(problem.task.fitness(policy, None)) for policy in policies]
        mean = statistics.mean(tests)
        each = ", ".join(f"{100 * x:.1f}" for x in tests)
        loss = statistics.mean(losses)
        figure = f"{100 * mean:.1f} % ({each}), training loss {loss:.3g}"
        wanted = ACCURACIES.get(name)
        met = None if wanted is None else mean >= wanted
        target = "" if wanted is None else f">= {100 * wanted:.0f} %"
        yield Gate(f"{label}, {generations} generations, {name}", target, figure, met)


def policy_after(make, problem, generations, seed):
    runner = make_runner(make, problem, seed)
    runner(generations)
    return runner.searcher.policy(runner.carry[0])


def main():
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS))
    parser.add_argument("--generations", type=int, default=300, help="of digits")
    parser.add_argument("--seeds", type=int, default=3, help="of digits")
    args = parser.parse_args()
    device = jax.devices()[0].device_kind
    load = os.getloadavg()[0]
    print(f"jax {jax.__version__}, {device}, load {load:.1f} on {os.cpu_count()} cores")
    gates = []
    for label in args.problem or PROBLEMS:
        problem = PROBLEMS[label]()
        gates += speed_gates(label, problem, args.rounds)
        if label.startswith("digits"):
            gates += chunk_gates(label, problem, args.rounds)
            gates += accuracy_gates(label, problem, args.generations, args.seeds)
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    show(gates)


if __name__ == "__main__":
    main()
