"""Games: modes of eight Gaussians that a small GAN covers, and the cost of a step.

    python benchmarks/games.py [gaussians | cost] [--steps N] [--seeds N]

`gaussians` trains a generator and a discriminator with each method, the same optimizer
after each, and prints how many of the eight modes the generator covers for each seed.
A mode is covered if at least 2 % of its samples lie within three standard deviations
of the center. The strength of `sga` was chosen on another seed. `cost` compares the CPU
time of a compiled step, and of its gradients alone with one batch, with that of the
plain simultaneous gradient: candidates take turns, a ratio is the median over rounds.
Run that with XLA_FLAGS=--xla_cpu_multi_thread_eigen=false, as other threads wait
busily.
"""

import argparse
import functools
import random
import statistics
import time

import jax
import jax.numpy as jnp
import optax

from neat_optax import games

MODES, RADIUS, SPREAD = 8, 2.0, 0.05
NOISE, WIDTH, BATCH = 8, 64, 256
RATE = 1e-3
REPEATS = 20
ADAM = functools.partial(optax.adam, RATE, b1=0.5)


def mlp(key, sizes):
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": jax.random.normal(k, (m, n)) * jnp.sqrt(2 / m), "b": jnp.zeros(n)}
        for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def apply(layers, x):
    for layer in layers[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def init(key):
    one, two = jax.random.split(key)
    return {
        "discriminator": mlp(one, (2, WIDTH, WIDTH, 1)),
        "generator": mlp(two, (NOISE, WIDTH, WIDTH, 2)),
    }


def centers():
    angles = 2 * jnp.pi * jnp.arange(MODES) / MODES
    return RADIUS * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)


def batch(key):
    which, spread, noise = jax.random.split(key, 3)
    center = centers()[jax.random.randint(which, (BATCH,), 0, MODES)]
    real = center + SPREAD * jax.random.normal(spread, (BATCH, 2))
    return real, jax.random.normal(noise, (BATCH, NOISE))


def losses(players, real, noise):
    """Cross-entropy, with the generator's loss that does not saturate."""
    made = apply(players["generator"], noise)
    of_real = apply(players["discriminator"], real)
    of_made = apply(players["discriminator"], made)
    told_apart = jnp.mean(jax.nn.softplus(-of_real)) + jnp.mean(
        jax.nn.softplus(of_made)
    )
    return {
        "discriminator": told_apart,
        "generator": jnp.mean(jax.nn.softplus(-of_made)),
    }


OPTIMISTIC = optax.optimistic_adam_v2(RATE, b1=0.5)
METHODS = {
    "plain": (None, ADAM()),
    "optimistic (optax)": (None, OPTIMISTIC),
    "optimistic descent": (None, optax.optimistic_gradient_descent(0.1)),
    "extragradient": (None, games.extragradient(ADAM())),
    "past-extragradient": (None, games.past_extragradient(ADAM())),
    "consensus": (games.consensus(1.0), ADAM()),
    "sga": (games.sga(0.1), ADAM()),
    "sga not aligned": (games.sga(0.1, align=False), ADAM()),
    "lookahead": (games.lookahead(0.03), ADAM()),
    "lola": (games.lola(0.03), ADAM()),
    "sos": (games.sos(0.03), ADAM()),
    "cgd": (games.cgd(0.03, iterations=5), ADAM()),
}


def make_step(name):
    adjust, tx = METHODS[name]
    of_game = games.value_and_grad(losses, adjust)

    def step(players, state, key):
        data = batch(key)
        _, grads = of_game(players, *data)
        extra = {}
        if name == "extragradient":
            extra = {"grad_fn": lambda ahead: of_game(ahead, *data)[1]}
        updates, state = tx.update(grads, state, players, **extra)
        return optax.apply_updates(players, updates), state

    return tx, step


def trained(name, steps, key):
    """How many modes one run covers, and which part of its samples is near one."""
    tx, step = make_step(name)
    start, order, end = jax.random.split(key, 3)
    players = init(start)

    def body(carry, key):
        return step(*carry, key), None

    carry = players, tx.init(players)
    (players, _), _ = jax.lax.scan(body, carry, jax.random.split(order, steps))
    made = apply(players["generator"], jax.random.normal(end, (4096, NOISE)))
    far = jnp.linalg.norm(made[:, None] - centers()[None], axis=2)
    shares = jnp.mean(far < 3 * SPREAD, axis=0)
    return jnp.sum(shares >= 0.02), jnp.sum(shares)


def gaussians(names, steps, seeds):
    print(f"{steps} steps, modes of {MODES} and samples near one, {seeds} seeds")
    keys = jax.random.split(jax.random.key(0), seeds)
    for name in names:
        start = time.perf_counter()
        run = jax.jit(jax.vmap(functools.partial(trained, name, steps)))
        modes, shares = jax.device_get(run(keys))
        seconds = time.perf_counter() - start
        print(
            f"{name:20} {', '.join(map(str, modes)):18}",
            f"{', '.join(f'{share:.0%}' for share in shares):24} {seconds:5.0f} s",
            flush=True,
        )


def whole_step(name, players, key):
    """Many steps with batches and optimizer."""
    tx, step = make_step(name)

    def many(players, state, key):
        body = lambda carry, key: (step(*carry, key), None)  # noqa: E731
        keys = jax.random.split(key, REPEATS)
        return jax.lax.scan(body, (players, state), keys)[0]

    given = players, tx.init(players), key
    return functools.partial(jax.jit(many).lower(*given).compile(), *given)


def gradients_alone(name, players, key):
    """Many plain steps on one batch."""
    of_game = games.value_and_grad(losses, METHODS[name][0])

    def many(players, data):
        def step(players, _):
            values, grads = of_game(players, *data)
            return optax.tree.add_scale(players, -1e-4, grads), values

        return jax.lax.scan(step, players, None, length=REPEATS)

    given = players, batch(key)
    return functools.partial(jax.jit(many).lower(*given).compile(), *given)


def medians(runs, rounds):
    """Times as multiples of the plain one's in the same round."""
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name in random.sample(list(runs), len(runs)):
            start = time.process_time()
            jax.block_until_ready(runs[name]())
            times[name].append(time.process_time() - start)
    return {
        name: statistics.median(
            a / b for a, b in zip(seconds, times["plain"], strict=True)
        )
        for name, seconds in times.items()
    }


def cost(names, rounds=15):
    players, key = init(jax.random.key(0)), jax.random.key(1)
    names = list({"plain": None} | dict.fromkeys(names))
    steps = medians({n: whole_step(n, players, key) for n in names}, rounds)
    bare = [n for n in names if METHODS[n][0] or n == "plain"]
    alone = medians({n: gradients_alone(n, players, key) for n in bare}, rounds)
    print("CPU time, as a multiple of the plain one's: a step, the gradients alone")
    for name in names:
        print(f"{name:20} {steps[name]:5.2f} {alone.get(name, float('nan')):5.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=["gaussians", "cost"])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(METHODS), choices=METHODS)
    given = parser.parse_args()
    if given.part != "gaussians":
        cost(given.only)
    if given.part != "cost":
        gaussians(given.only, given.steps, given.seeds)


if __name__ == "__main__":
    main()
