"""Draws docs/images/preferences.png, the fronts that docs/preferences.md traces.

python docs/make_preferences.py
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax

from neat_optax import aggregators

mpl.use("Agg")

import matplotlib.pyplot as plt

STEPS = 4000
PLACE = pathlib.Path(__file__).parent / "images" / "preferences.png"
PANELS = {
    "weighted sum, w = p": (aggregators.sum, "weights"),
    "stch(0.01), p = 1 / direction": (lambda: aggregators.stch(0.01), "inverse"),
    "cosmos(5.0), p = direction": (lambda: aggregators.cosmos(5.0), "direction"),
    "pbi(5.0), p = direction": (lambda: aggregators.pbi(5.0), "direction"),
    "epo(), p = 1 / direction": (aggregators.epo, "inverse"),
    "pmgda(), p = direction": (aggregators.pmgda, "direction"),
}
"""What is drawn, the aggregator, and what it takes for a preference."""


def front(t: Any) -> Any:
    """The lower loss for an upper one: concave below 1/2 and convex above."""
    return 1 - t + 0.12 * jnp.sin(2 * jnp.pi * t)


def losses(x: jax.Array) -> jax.Array:
    """Two losses; all points with `x[1] = 0` are Pareto optimal."""
    t = jax.nn.sigmoid(x[0])
    return jnp.stack([t, front(t)]) + x[1] ** 2


def descend(aggregator: Any, preference: jax.Array, linear: bool) -> jax.Array:
    """The losses at the end of one run."""
    rate = optax.cosine_decay_schedule(0.1, STEPS)
    tx = optax.chain(aggregator, optax.sgd(rate))

    def step(carry: Any, _: None):
        x, state = carry
        grads, seen = jax.jacrev(losses)(x), losses(x)
        if linear:
            grads = preference[:, None] * grads
        updates, state = tx.update(grads, state, x, losses=seen, preference=preference)
        return (x + updates, state), None

    start = jnp.array([0.3, 0.6])
    (x, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=STEPS)
    return losses(x)


def trace(name: str, directions: jax.Array) -> np.ndarray:
    """The losses of one run for each direction."""
    make, kind = PANELS[name]
    wishes = 1 / directions if kind == "inverse" else directions
    run = jax.jit(jax.vmap(lambda p: descend(make(), p, kind == "weights")))
    return np.asarray(run(wishes / jnp.sum(wishes, axis=1, keepdims=True)))


def draw(axis: Any, name: str, directions: jax.Array) -> None:
    """One panel."""
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.92, len(directions)))
    along = np.linspace(0, 1, 200)
    axis.plot(along, front(along), color="0.4", linewidth=1.2)
    rays = PANELS[name][1] != "weights"
    found = trace(name, directions)
    for color, direction, point in zip(colors, directions, found, strict=True):
        if rays:
            axis.plot(*np.outer(direction, [0, 2]), color=color, linewidth=0.7)
        axis.plot(*point, "o", color=color, markersize=6)
    axis.set(title=name, xlim=(-0.03, 1.08), ylim=(-0.03, 1.08))
    axis.set_aspect("equal")


def main() -> None:
    """Draws all panels."""
    angles = jnp.linspace(0.1, jnp.pi / 2 - 0.1, 12)
    directions = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    figure, axes = plt.subplots(2, 3, figsize=(10, 7), sharex=True, sharey=True)
    for axis, name in zip(axes.flat, PANELS, strict=True):
        draw(axis, name, directions)
    for axis in axes[1]:
        axis.set_xlabel("first loss")
    for axis in axes[:, 0]:
        axis.set_ylabel("second loss")
    figure.tight_layout()
    figure.savefig(PLACE, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
