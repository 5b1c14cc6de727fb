"""Matrix games between two softmax strategies: which methods come to rest.

    python benchmarks/matrix_games.py [--bonus B] [--steps N] [--games N]

Each player minimizes its expected loss minus a bonus for the entropy of its strategy.
Exploitability is what both could gain by their best answers; it is 0 at the equilibrium
alone. A method has arrived where less than a tenth of that of the start is left. Its
rate is the one of three with the smallest mean. Lengths of gradients are printed beside
it, as they fall where a softmax saturates too.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import optax

import neat_optax as neo
from neat_optax import games

MOVES = 5
OF_SGD, OF_ADAM = (0.1, 0.3, 1.0), (0.001, 0.01, 0.1)
METHODS = {
    "plain": (OF_SGD, lambda rate: (None, optax.sgd(rate))),
    "neat_correction": (
        OF_SGD,
        lambda rate: (None, optax.chain(neo.neat_correction(), optax.sgd(rate))),
    ),
    "optimistic_gradient_descent": (
        OF_SGD,
        lambda rate: (None, optax.optimistic_gradient_descent(rate)),
    ),
    "sga": (OF_SGD, lambda rate: (games.sga(), optax.sgd(rate))),
    "cgd": (OF_SGD, lambda rate: (games.cgd(rate), optax.sgd(rate))),
    "consensus(0.5)": (OF_SGD, lambda rate: (games.consensus(0.5), optax.sgd(rate))),
    "adam": (OF_ADAM, lambda rate: (None, optax.adam(rate))),
    "optimistic_adam_v2": (
        OF_ADAM,
        lambda rate: (None, optax.optimistic_adam_v2(rate)),
    ),
    "optimistic_adam_v2, b1=0": (
        OF_ADAM,
        lambda rate: (None, optax.optimistic_adam_v2(rate, b1=0.0)),
    ),
    "past_extragradient, Adam b1=0": (
        OF_ADAM,
        lambda rate: (None, games.past_extragradient(optax.adam(rate, b1=0.0))),
    ),
}


def make_game(key, bonus):
    """Losses, exploitability and a start."""
    matrix = jax.random.normal(key, (MOVES, MOVES))
    row, column = 0.5 * jax.random.normal(jax.random.fold_in(key, 1), (2, MOVES))

    def losses(players):
        row, column = map(jax.nn.softmax, (players["row"], players["column"]))
        value = row @ matrix @ column
        spread = [bonus * jax.scipy.special.entr(one).sum() for one in (row, column)]
        return {"row": value - spread[0], "column": -value - spread[1]}

    def exploitability(players):
        row, column = map(jax.nn.softmax, (players["row"], players["column"]))
        best = jax.nn.logsumexp(row @ matrix / bonus)
        best += jax.nn.logsumexp(-matrix @ column / bonus)
        return sum(losses(players).values()) + bonus * best

    return losses, exploitability, {"row": row, "column": column}


def turning(losses, players, key):
    """The share of the antisymmetric part of the Jacobian in a random direction."""
    products = games.linearize(losses)(players).jacobian()
    v = optax.tree.random_like(key, players, jax.random.normal)
    ahead, back = products.jvp(v), products.vjp(v)
    turned = optax.tree.norm(optax.tree.sub(ahead, back))
    return turned / (turned + optax.tree.norm(optax.tree.add(ahead, back)))


@functools.partial(jax.jit, static_argnames=("name", "rate", "steps"))
@functools.partial(jax.vmap, in_axes=(0, None, None, None, None))
def played(key, bonus, name, rate, steps):
    """Exploitability at the start and the end, length of the gradient by its first."""
    losses, exploitability, start = make_game(key, bonus)
    adjust, tx = METHODS[name][1](rate)
    plain = games.value_and_grad(losses)
    of_game = games.value_and_grad(losses, adjust)

    def step(carry, _):
        players, state = carry
        updates, state = tx.update(of_game(players)[1], state, players)
        return (optax.apply_updates(players, updates), state), None

    (end, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=steps)
    lengths = [optax.tree.norm(plain(players)[1]) for players in (start, end)]
    return exploitability(start), exploitability(end), lengths[1] / lengths[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bonus", type=float, default=0.02)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--games", type=int, default=10)
    given = parser.parse_args()
    keys = jax.random.split(jax.random.key(0), given.games)

    def at_start(key):
        losses, exploitability, start = make_game(key, given.bonus)
        return exploitability(start), turning(losses, start, jax.random.key(1))

    first, turns = jax.vmap(at_start)(keys)
    print(
        f"start: exploitability {first.mean():.2f}, turning {turns.min():.2f} to",
        end="",
    )
    print(
        f" {turns.max():.2f}\n\n| method | rate | exploitability | arrived | length |"
    )
    for name, (rates, _) in METHODS.items():
        runs = {
            rate: played(keys, given.bonus, name, rate, given.steps) for rate in rates
        }
        rate = min(runs, key=lambda one: float(runs[one][1].mean()))
        start, end, length = runs[rate]
        arrived = int((end < start / 10).sum())
        row = name, rate, f"{end.mean():.3f}", arrived, f"{jnp.median(length):.1e}"
        print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
