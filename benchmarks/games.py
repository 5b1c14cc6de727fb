"""Games: modes of eight Gaussians that a small GAN covers, and the cost of a step.

    python benchmarks/games.py [gaussians | cost] [--steps N] [--seeds N] [--only NAME ...]

`gaussians` trains a generator and a discriminator with each method, the same optimizer
after each, and prints how many of the eight modes the generator covers for each seed. A
mode is covered if at least 2 % of its samples lie within three standard deviations of
the center. `cost` compares a compiled step with that of the plain simultaneous gradient:
the candidates take turns, and a ratio is the median over rounds.
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
    told_apart = jnp.mean(jax.nn.softplus(-of_real)) + jnp.mean(jax.nn.softplus(of_made))
    return {"discriminator": told_apart, "generator": jnp.mean(jax.nn.softplus(-of_made))}


OPTIMISTIC = optax.optimistic_adam_v2(RATE, b1=0.5)
METHODS = {
    "plain": (None, ADAM()),
    "optimistic (optax)": (None, OPTIMISTIC),
    "extragradient": (None, games.extragradient(ADAM())),
    "past-extragradient": (None, games.past_extragradient(ADAM())),
    "consensus": (games.consensus(1.0), ADAM()),
    "sga": (games.sga(1.0), ADAM()),
    "lookahead": (games.lookahead(1.0), ADAM()),
    "lola": (games.lola(1.0), ADAM()),
    "sos": (games.sos(1.0), ADAM()),
    "cgd": (games.cgd(1.0, iterations=5), ADAM()),
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


def cost(names, rounds=30, repeats=20):
    players, key = init(jax.random.key(0)), jax.random.key(1)
    runs = {}
    for name in {"plain": None} | dict.fromkeys(names):
        tx, step = make_step(name)

        def many(players, state, key, step=step):
            keys = jax.random.split(key, repeats)
            body = lambda carry, key: (step(*carry, key), None)  # noqa: E731
            return jax.lax.scan(body, (players, state), keys)[0]

        state = tx.init(players)
        runs[name] = jax.jit(many).lower(players, state, key).compile(), state
    times = {name: [] for name in runs}
    for _ in range(rounds):
        order = list(runs)
        random.shuffle(order)
        for name in order:
            compiled, state = runs[name]
            start = time.process_time()
            jax.block_until_ready(compiled(players, state, key))
            times[name].append((time.process_time() - start) / repeats)
    print("time of a step, as a multiple of the plain one's in the same round")
    for name, seconds in times.items():
        ratios = [a / b for a, b in zip(seconds, times["plain"], strict=True)]
        print(
            f"{name:20} {statistics.median(ratios):5.2f}"
            f" {1e3 * statistics.median(seconds):8.3f} ms"
        )


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
