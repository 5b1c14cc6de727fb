"""Times steps that know every example against the step of the mean gradient.

    python benchmarks/players.py [--rounds 25] [--explicit]

Printed are the gates of factored players: time, temporary memory, and CPU seconds to
trace and compile, as multiples of those of the plain step of the same model. All steps
of a model take turns in one process; times are medians of ratios within a round.
`--explicit` adds steps that form the gradient of every example.
"""

import argparse
import time
from typing import Any, NamedTuple

import gates
import jax
import players_turns as turns
import players_works
from players_works import Rule, Step, Work

COMPILATIONS, COMPILATION_GATE = 2, 3


class Cost(NamedTuple):
    """Of one step, as multiples of the plain one."""

    time: float
    memory: float
    compilation: float


def make_steps(work: Work, explicit: bool) -> dict[str, Step]:
    """Steps of a work by name, the plain one first."""
    steps = {"plain": players_works.make_plain(work)}
    for name, rule in work.rules.items():
        steps[name] = players_works.make_step(work, rule, True)
        if explicit:
            steps[f"{name}, formed"] = players_works.make_step(work, rule, False)
    return steps


def compile_all(steps: dict[str, Step], params: Any, batch: Any):
    """Programs with their arguments, and the least CPU seconds to make each."""
    programs, seconds = {}, {name: [] for name in steps}
    for _ in range(COMPILATIONS):
        for name, step in steps.items():
            arguments = params, step.init(params), *batch
            jax.clear_caches()
            begun = time.process_time()
            program = jax.jit(step.update).lower(*arguments).compile()
            seconds[name].append(time.process_time() - begun)
            programs[name] = program, arguments
    return programs, {name: min(taken) for name, taken in seconds.items()}


def call_of(program: Any, arguments: Any):
    return lambda: jax.block_until_ready(program(*arguments))


def measure(work: Work, rounds: int, explicit: bool) -> dict[str, Cost]:
    """Of every step of a work but the plain one."""
    batch, params = players_works.make_batch(work), players_works.make_params(work)
    programs, compilation = compile_all(make_steps(work, explicit), params, batch)
    calls = {name: call_of(*program) for name, program in programs.items()}
    counts = turns.counts(calls)
    times = [turns.take(calls, counts) for _ in range(rounds)]
    memory = {
        name: program.memory_analysis().temp_size_in_bytes
        for name, (program, _) in programs.items()
    }
    return {
        name: Cost(
            turns.ratio(times, name, "plain"),
            memory[name] / memory["plain"],
            compilation[name] / compilation["plain"],
        )
        for name in list(programs)[1:]
    }


def lines(name: str, cost: Cost, rule: Rule | None) -> list[gates.Gate]:
    """Three lines of the table: time, memory, compilation."""
    limits = {"time": None, "memory": None, "trace and compile": None}
    if rule is not None:
        limits |= {"time": rule.time, "memory": rule.memory}
        limits["trace and compile"] = None if rule.time is None else COMPILATION_GATE
    found = []
    for (what, most), figure in zip(limits.items(), cost, strict=True):
        target = "" if most is None else f"<= {most}"
        met = None if most is None else figure <= most
        found.append(gates.Gate(f"{name}: {what}", target, f"{figure:.2f}", met))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument(
        "--explicit", action="store_true", help="form the gradients too"
    )
    options = parser.parse_args()
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}")
    for work in players_works.WORKS:
        print(f"\n{work.name}, multiples of the plain step", flush=True)
        table = []
        for name, cost in measure(work, options.rounds, options.explicit).items():
            table += lines(name, cost, work.rules.get(name))
        gates.show(table)


if __name__ == "__main__":
    main()
