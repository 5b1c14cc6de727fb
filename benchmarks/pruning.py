"""The gates of pruning: the threshold search, the overhead of a step, the mask.

    python benchmarks/pruning.py [--rounds N]

Times are medians of interleaved rounds in one process; a ratio is the median of the
ratios of one round. The search is that of `make_mask`, next to a full sort of the same
weights; steps are those at which no mask changes, next to plain Adam.
"""

import argparse
import functools
import random
import statistics
import time

import jax
import jax.numpy as jnp
import optax
from gates import Gate, show
from over_adam import ADAM, gates_over_adam, ratio

import neat_optax as neo

SIZES = {"1e5": (250, 400), "1e6": (1000, 1000), "1e7": (2500, 4000)}
STEPS = {
    "prune_to_sparsity(0.9)": optax.chain(ADAM, neo.sparsity.prune_to_sparsity(0.9)),
    "prune_to_sparsity(schedule)": optax.chain(
        ADAM,
        neo.sparsity.prune_to_sparsity(
            optax.linear_schedule(0.5, 0.9, 10**6), every=10**6
        ),
    ),
    "adapt_pruning": optax.chain(ADAM, neo.sparsity.adapt_pruning(0.9, every=10**6)),
    "n_of_m(2, 4)": optax.chain(ADAM, neo.sparsity.n_of_m(2, 4)),
    "keep_mask": optax.chain(ADAM, neo.sparsity.keep_mask(neo.sparsity.nonzero)),
    "grow_and_prune": neo.sparsity.grow_and_prune(ADAM, 0.9, every=10**6),
    "soft_threshold": optax.chain(ADAM, neo.sparsity.soft_threshold(1e-5)),
}
TARGETS = {name: 1.1 for name in list(STEPS)[:5]}


def search_gates(rounds):
    """A mask of 90 % sparsity, over a sort of all weights."""
    for label, shape in SIZES.items():
        x = jax.random.normal(jax.random.key(0), shape)
        functions = {
            "search": jax.jit(functools.partial(neo.sparsity.make_mask, sparsity=0.9)),
            "sort": jax.jit(lambda w: jnp.sort(jnp.abs(w).ravel())),
            "argsort": jax.jit(lambda w: jnp.argsort(jnp.abs(w).ravel())),
        }
        times = _interleaved(
            {k: functools.partial(f, x) for k, f in functions.items()}, rounds
        )
        over_sort = ratio(times["sort"], times["search"])
        other = ratio(times["argsort"], times["search"])
        milliseconds = 1e3 * statistics.median(times["search"])
        figure = (
            f"{over_sort:.0f}x a sort, {other:.0f}x an argsort; {milliseconds:.1f} ms"
        )
        target = ">= 10" if label == "1e6" else ""
        met = over_sort >= 10 if target else None
        yield Gate(f"search of {label} weights", target, figure, met)


def memory_gates():
    """Bytes of the state that pruning adds, for each parameter."""
    params = [jnp.ones((1000, 1000))]
    state = neo.sparsity.prune_to_sparsity(0.9).init(params)
    share = sum(x.nbytes for x in jax.tree.leaves(state)) / 1e6
    yield Gate("state of prune_to_sparsity", "<= 1 byte", f"{share:.6f}", share < 1.001)


def _interleaved(functions, rounds):
    times = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(rounds):
        order = list(functions)
        random.shuffle(order)
        for name in order:
            start = time.perf_counter()
            jax.block_until_ready(functions[name]())
            times[name].append(time.perf_counter() - start)
    return times


def main():
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__}, {device}, {jax.device_count()} device(s)")
    show(
        [
            *search_gates(max(rounds // 3, 3)),
            *gates_over_adam(STEPS, TARGETS, rounds),
            *memory_gates(),
        ]
    )


if __name__ == "__main__":
    main()
