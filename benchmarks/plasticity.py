"""The gates of plasticity: the time of a step next to Adam's, its words, its state.

    python benchmarks/plasticity.py [--rounds N]

Times are medians of interleaved rounds in one process; a ratio is the median of the
ratios of one round, at a million parameters. A word is one number of the parameters'
size that the compiled step reads or writes once.
"""

import argparse

import jax
import jax.numpy as jnp
import optax
from gates import Gate, show
from over_adam import ADAM, gates_over_adam
from step_time import make_runner

import neat_optax as neo

RATE = optax.scale_by_learning_rate(1e-3)
ALONE = [neo.plasticity.gradient(1.0)]
NO_MEMORY = [neo.plasticity.gradient(), neo.plasticity.activity()]
STEPS = {
    "scale_by_plasticity": optax.chain(neo.plasticity.scale_by_plasticity(), RATE),
    "scale_by_plasticity without the memory": optax.chain(
        neo.plasticity.scale_by_plasticity(NO_MEMORY), RATE
    ),
    "scale_by_plasticity of the gradient alone": optax.chain(
        neo.plasticity.scale_by_plasticity(ALONE), RATE
    ),
    "neuroplastic": neo.plasticity.neuroplastic(1e-3),
    "neuroplastic(monitor=True)": neo.plasticity.neuroplastic(1e-3, monitor=True),
    "modulate(scale_by_adam)": optax.chain(
        neo.plasticity.modulate(optax.scale_by_adam()), RATE
    ),
}
TARGETS = {name: 1.3 for name in list(STEPS)[:3]}
BUFFERS = {
    "scale_by_plasticity()": (neo.plasticity.scale_by_plasticity(), 3),
    "of the gradient alone": (neo.plasticity.scale_by_plasticity(ALONE), 0),
}


def word_lines():
    """What the compiled steps move."""
    for name, tx in {"Adam": ADAM, **STEPS}.items():
        compiled = make_runner(tx, (1000, 1000), 1).compiled
        words = compiled.cost_analysis()["bytes accessed"] / 4e6
        yield Gate(f"words, {name}", "", f"{words:.0f}", None)


def memory_gates():
    """Buffers like the parameters in the state."""
    params = jnp.ones((1000, 1000))
    for name, (tx, most) in BUFFERS.items():
        state = tx.init(params)
        count = sum(x.nbytes for x in jax.tree.leaves(state)) / params.nbytes
        met = round(count, 4) <= most
        yield Gate(f"state, {name}", f"<= {most} buffers", f"{count:.4f}", met)


def main():
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__}, {device}, {jax.device_count()} device(s)")
    times = gates_over_adam(STEPS, TARGETS, rounds)
    show([*times, *word_lines(), *memory_gates()])


if __name__ == "__main__":
    main()
