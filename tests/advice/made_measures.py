"""Measures by hand, and what a probe would have met."""

import numpy as np

from neat_optax._intervals import Interval
from neat_optax.advice import Geometry, Measures, StepCost
from neat_optax.advice._probing import Probed


def make_geometry(count=3, **given):
    none = np.zeros((count, count))
    values = {
        "cosines": np.eye(count),
        "expected": np.eye(count),
        "conflict": 0.0,
        "between": 0.0,
        "within": 0.0,
        "excess": Interval(0.0, 0.0, 0.0),
        "opposed": none.astype(bool),
        "gain": (Interval(0.5, 0.4, 0.6),) * count,
    }
    return Geometry(**(values | given))


def opposed(count=3):
    """The first two of them are."""
    pairs = np.zeros((count, count), bool)
    pairs[0, 1] = pairs[1, 0] = True
    expected = np.eye(count) - 0.5 * pairs
    return make_geometry(count, opposed=pairs, expected=expected)


def make_measures(count=3, **given):
    geometry = given.get("plain") or make_geometry(count)
    values = {
        "players": tuple("abcdefghijkl"[:count]),
        "steps": 20,
        "sampled": True,
        "heads": False,
        "losses": (np.ones(count), np.ones(count) / 2),
        "norms": np.ones(count),
        "norm_ratio": 2.0,
        "reliability": np.full(count, 0.5),
        "plain": geometry,
        "metric": geometry,
        "alike": False,
        "stationarity": 0.4,
        "layers": {"trunk/w": (0.25, np.ones(count))},
        "costs": {name: StepCost(1.0, 1.0, 1.0) for name in ("mean", "upgrad")},
        "trial": None,
    }
    return Measures(**(values | given))


def products(first, second=None):
    """[T, R, R] of gradients [T, P, N] on one batch, and on another."""
    rows = first if second is None else np.concatenate([first, second], axis=1)
    return rows @ rows.transpose(0, 2, 1)


def make_probed(first, second=None):
    inner = products(first, second)
    norms = np.linalg.norm(first, axis=2)[:, None]
    shares = np.zeros((len(first), 1))
    return Probed(
        np.ones(norms.shape[::2]), inner, inner, shares, norms, ("w",), len(first)
    )


def draws(means, noise, steps=60, seed=0):
    """Two batches of gradients [T, P, N] around their means."""
    draw = np.random.default_rng(seed)
    shape = (steps, *np.shape(means))
    return [means + noise * draw.normal(size=shape) for _ in range(2)]
