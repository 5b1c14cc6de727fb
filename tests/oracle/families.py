"""Families of player gradients, from ordinary to degenerate ones."""

import numpy as np


def of_family(name, seed, largest=48):
    """A matrix `[P, N]` in float32, `P` from 2 to `largest`."""
    rng = np.random.default_rng([seed, list(FAMILIES).index(name)])
    shape = int(rng.integers(2, largest + 1)), int(rng.integers(50, 400))
    return np.asarray(FAMILIES[name](rng, *shape), np.float32)


def _random(rng, players, columns):
    return rng.normal(size=(players, columns))


def _conflicting(rng, players, columns):
    shared = rng.normal(size=columns) / np.sqrt(columns)
    rows = rng.normal(size=(players, columns)) / np.sqrt(columns)
    return rows + 2 * _signs(players) * shared


def _rank_deficient(rng, players, columns):
    rank = max(1, players // 2)
    return rng.normal(size=(players, rank)) @ rng.normal(size=(rank, columns))


def _stationary(rng, players, columns):
    """A combination with positive weights is zero, in a third of the dimensions."""
    rank = max(1, players // 3)
    rows = rng.normal(size=(players, rank)) @ rng.normal(size=(rank, columns))
    weights = rng.uniform(0.1, 1.0, players)
    rows[-1] = -(weights[:-1] @ rows[:-1]) / weights[-1]
    return rows


def _parallel(rng, players, columns):
    noise = 10 ** rng.uniform(-3, -1) * rng.normal(size=(players, columns))
    return rng.normal(size=columns) + noise


def _opposed(rng, players, columns):
    noise = 10 ** rng.uniform(-2, -0.5) * rng.normal(size=(players, columns))
    return _signs(players) * rng.normal(size=columns) + noise


def _lengths(rng, players, columns):
    return _random(rng, players, columns) * 10 ** rng.uniform(-8, 8, (players, 1))


def _zeros(rng, players, columns):
    return _random(rng, players, columns) * (rng.uniform(size=(players, 1)) > 0.3)


def _duplicates(rng, players, columns):
    return _conflicting(rng, players, columns)[rng.integers(0, players, players)]


def _nearly_flat(rng, players, columns):
    """Two directions and a hundredth of noise."""
    rows = rng.normal(size=(players, 2)) @ rng.normal(size=(2, columns))
    return rows + 0.01 * rng.normal(size=(players, columns))


def _signs(players):
    return np.where(np.arange(players) % 2, -1.0, 1.0)[:, None]


FAMILIES = {
    "random": _random,
    "conflicting": _conflicting,
    "rank-deficient": _rank_deficient,
    "stationary": _stationary,
    "parallel": _parallel,
    "opposed": _opposed,
    "lengths": _lengths,
    "zeros": _zeros,
    "duplicates": _duplicates,
    "nearly flat": _nearly_flat,
}
