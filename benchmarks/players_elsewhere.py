"""Times players beside TorchJD, Opacus and JAX Privacy.

    pip install -e ".[bench,train]"
    python benchmarks/players_elsewhere.py [--rounds 25] [--cores 2]

UPGrad and clipping with every example a player, each as a multiple of the step of the
mean gradient in its own framework. JAX and PyTorch have a process each, on the same
cores, and take turns by rounds; times are medians over rounds, and multiples medians of
ratios within a round. PyTorch runs without a compiler, as TorchJD and Opacus do. Beside
other work its threads wait for one another: `--cores 1` then compares more fairly.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import gates
import numpy as np
import players_turns as turns

WORKS = ["MLP 32-128-128-10, 128", "CNN 32 x 32 x 3, 128"]
PACKAGES = ["jax", "jax_privacy", "torch", "torchjd", "opacus"]
FRAMEWORKS = {"jax": "plain, JAX", "torch": "plain, PyTorch"}
OURS, AUTOGRAM = "UPGrad, neat_optax", "UPGrad, TorchJD autogram"
TIMES_FASTER = {WORKS[0]: 8}


class Worker:
    """A process that runs one round of the steps of a framework when asked to."""

    def __init__(self, framework: str):
        command = [sys.executable, __file__, "--framework", framework]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def ask(self, question: str = "") -> Any:
        """The answer to a line."""
        print(question, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("a framework's process has ended; see its message above")
        return json.loads(answer)

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def work_for(framework: str) -> None:
    """Answers lines: the name of a work makes its steps, an empty one times them."""
    steps = importlib.import_module(f"players_{framework}")
    calls, counts = {}, {}
    for line in sys.stdin:
        if line.strip():
            calls = steps.make_calls(line.strip())
            answer = counts = turns.counts(calls)
        else:
            answer = turns.take(calls, counts)
        print(json.dumps(answer), flush=True)


def measure(workers: list[Worker], work: str, count: int) -> list[dict[str, float]]:
    """Seconds of all steps of a work in every round."""
    for worker in workers:
        worker.ask(work)
    rounds = []
    for _ in range(count):
        taken = [worker.ask() for worker in workers]
        rounds.append({name: time for times in taken for name, time in times.items()})
    return rounds


def show(work: str, rounds: list[dict[str, float]]) -> None:
    """The table of a work."""
    print(f"\n{work}\n\n| step | ms | of its own plain step |\n|---|---|---|")
    plain = ""
    for name in rounds[0]:
        plain = name if name in FRAMEWORKS.values() else plain
        milliseconds = 1e3 * np.median([times[name] for times in rounds])
        multiple = turns.ratio(rounds, name, plain)
        print(f"| {name} | {milliseconds:.3g} | {multiple:.3g} |")


def faster(work: str, rounds: list[dict[str, float]]) -> gates.Gate:
    """How much longer autogram takes."""
    figure, least = turns.ratio(rounds, AUTOGRAM, OURS), TIMES_FASTER.get(work)
    title = f"UPGrad, {work}: autogram's time over neat_optax's"
    target = "" if least is None else f">= {least}"
    met = None if least is None else figure >= least
    return gates.Gate(title, target, f"{figure:.1f}", met)


def print_versions() -> None:
    for package in PACKAGES:
        if importlib.util.find_spec(package):
            print(package, importlib.metadata.version(package))
        else:
            print(f"{package} is not installed: its steps are left out.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--framework", choices=FRAMEWORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.framework:
        return work_for(options.framework)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    print_versions()
    workers = [Worker(name) for name in FRAMEWORKS if importlib.util.find_spec(name)]
    table = []
    for work in WORKS:
        rounds = measure(workers, work, options.rounds)
        show(work, rounds)
        if AUTOGRAM in rounds[0]:
            table.append(faster(work, rounds))
    for worker in workers:
        worker.close()
    if table:
        gates.show(table)


if __name__ == "__main__":
    main()
