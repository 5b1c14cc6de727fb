"""Draws docs/images/start.png, the picture of the start page.

python docs/make_start.py
"""

import pathlib

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

import neat_optax as neo
from neat_optax import aggregators

FILE = pathlib.Path(__file__).parent / "images" / "start.png"
WAYS = {
    "mean": (aggregators.mean(), "tab:red"),
    "upgrad": (aggregators.upgrad(), "tab:green"),
}


def losses_fn(params: jax.Array) -> jax.Array:
    """They agree on y and pull x apart; the second counts four times as much."""
    x, y = params
    return jnp.stack([(x - 1) ** 2 + (y - 1) ** 2, 4 * (x + 1) ** 2 + 4 * (y - 1) ** 2])


def path(aggregator: optax.GradientTransformation) -> tuple[jax.Array, jax.Array]:
    """Parameters and losses of 60 steps from one start."""
    tx = optax.chain(aggregator, optax.sgd(0.02))
    start = jnp.array([0.3, -1.0])

    def step(carry, _):
        params, state = carry
        losses, grads = neo.value_and_player_grads(losses_fn)(params)
        updates, state = tx.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), (params, losses)

    return jax.jit(lambda: jax.lax.scan(step, (start, tx.init(start)), None, 60)[1])()


def main() -> None:
    """Paths over the contours of both losses, and the loss that the mean harms."""
    figure, (plane, curves) = plt.subplots(
        1, 2, figsize=(8, 3), width_ratios=[3, 2], layout="constrained"
    )
    for center, color in ((1, "tab:blue"), (-1, "tab:orange")):
        for radius in (0.5, 1, 1.5, 2, 2.5):
            circle = plt.Circle((center, 1), radius, fill=False, color=color, alpha=0.3)
            plane.add_patch(circle)
        plane.plot(center, 1, "o", color=color)
    for name, (aggregator, color) in WAYS.items():
        params, losses = path(aggregator)
        plane.plot(*params.T, ".-", color=color, markersize=4, label=name)
        curves.plot(losses[:, 0], color=color, label=name)
    plane.plot([-1, 1], [1, 1], color="gray", linewidth=3, alpha=0.5)
    plane.set(aspect="equal", xlim=(-1.9, 1.9), ylim=(-1.2, 1.5))
    plane.set(title="two losses, their trade-offs (gray), two paths")
    curves.set(
        title="what the loss on the right comes to", xlabel="step", ylim=(0, None)
    )
    curves.legend()
    figure.savefig(FILE, dpi=150)


if __name__ == "__main__":
    main()
