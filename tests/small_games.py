"""Small games with known answers, and what the authors' code makes of some of them."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running

DISCOUNT = 0.96
SHARES = (2, 3, 1)
"""How many parameters each player of `QUADRATIC` has."""
_RNG = np.random.default_rng(0)
QUADRATIC = _RNG.normal(size=(3, 6, 6)) * np.float64(0.4)
LINEAR = _RNG.normal(size=(3, 6))
POINT = _RNG.normal(size=6)
RECORDED = ["matching_pennies", pytest.param("prisoners", marks=pytest.mark.slow)]
"""Games with recorded gradients; of the second, solving compiles for a second."""
_FILE = pathlib.Path(__file__).parent / "data" / "games.json"


def bilinear(players):
    """Both rotate around (0, 0), which no plain step comes closer to."""
    x, y = players
    return [jnp.sum(x * y), -jnp.sum(x * y)]


def tandem(players):
    """Fixed points lie on x + y = 1."""
    x, y = (jnp.reshape(player, ()) for player in players)
    return [(x + y) ** 2 - 2 * x, (x + y) ** 2 - 2 * y]


def matching_pennies(players):
    x, y = (jax.nn.sigmoid(jnp.reshape(player, ())) for player in players)
    value = (2 * x - 1) * (2 * y - 1)
    return [value, -value]


def prisoners(players):
    """The iterated dilemma with exact returns.

    Five logits to cooperate each: at first, and after both did, the second did not, the
    first did not, neither did.
    """
    one, two = (jax.nn.sigmoid(player) for player in players)
    start = _joint(one[0], two[0])
    moves = _joint(one[1:], two[1:]).T
    visits = jnp.linalg.solve((jnp.eye(4) - DISCOUNT * moves).T, start)
    return [visits @ jnp.array([1.0, 3, 0, 2]), visits @ jnp.array([1.0, 0, 3, 2])]


def _joint(one, two):
    return jnp.stack(
        [one * two, one * (1 - two), (1 - one) * two, (1 - one) * (1 - two)]
    )


def quadratic(players):
    """Three players of 2, 3 and 1 parameters: losses are any quadratic functions."""
    z = jnp.concatenate(
        [players["a"]["w"], players["b"].reshape(3), players["c"][None]]
    )
    return [
        z @ q @ z / 2 + b @ z
        for q, b in zip(_f32(QUADRATIC), _f32(LINEAR), strict=True)
    ]


def _f32(x):
    return x.astype(np.float32)


def seat(z):
    """Numbers of all players of `quadratic` as its players."""
    z = np.asarray(z, np.float32)
    return {"a": {"w": z[:2]}, "b": z[2:5].reshape(1, 3), "c": z[5]}


def flat(players):
    """Back again; or arrays of players in a list."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(players)])


def blocks():
    """Owners of the six parameters."""
    return np.repeat(np.arange(3), SHARES)


def gradient_and_jacobian(z):
    """Those of `quadratic` in float64: rows belong to their owner's loss."""
    owner, every = blocks(), np.arange(6)
    hessians = (QUADRATIC + QUADRATIC.transpose(0, 2, 1)) / 2
    jacobian = hessians[owner, every]
    return jacobian @ z + LINEAR[owner, every], jacobian


def off_diagonal(jacobian):
    owner = blocks()
    return np.where(owner[:, None] == owner, 0, jacobian)


def authors(name):
    """Recorded points of a game, stacked, and gradients by the names of the methods."""
    rows = json.loads(_FILE.read_text())["games"][name]
    columns = {
        key: [
            np.array(part, np.float32)
            for part in zip(*[r[key] for r in rows], strict=True)
        ]
        for key in rows[0]
    }
    return columns.pop("players"), columns


def at_points(value_and_grad, players):
    """Losses and gradients at stacked points."""
    return running.quick_jit(jax.vmap(value_and_grad))(players)


def played(value_and_grad, players, rate, steps):
    """Players after so many plain steps, and all of their points [steps, ...]."""

    def step(players, _):
        _, grads = value_and_grad(players)
        moved = jax.tree.map(lambda p, g: p - rate * g, players, grads)
        return moved, moved

    return jax.lax.scan(step, players, None, length=steps)
