"""From what a probe has met to the few numbers that a recommendation is made of."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax.advice._geometry import (
    Geometry,
    crossed_cosines,
    diagonals,
    geometry,
    norms_of,
    over_steps,
)
from neat_optax.advice._probing import Probed
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._simplex import min_norm

LEAST_ALIKE = 4
"""Fewer players are never taken for examples of one task."""


class Measures(NamedTuple):
    """What was measured.

    Attributes:
      players: their names.
      steps: of the probe.
      sampled: whether gradients were compared on two draws.
      heads: whether some arrays belong to one player alone. All numbers but those of
        `layers` are of the others then.
      losses: [P] at the start, and at the end of the probe.
      norms: [P] lengths of gradients, the median over steps.
      norm_ratio: of the longest to the shortest one, the median over steps.
      reliability: [P] cosine of a player's gradients on two batches; 1 without noise.
      plain: inner products as they are.
      metric: those of steps that Adam's root mean square divides.
      alike: whether no player is nearer to itself on another batch than to the others,
        as where players are examples: then none has an aim of its own.
      stationarity: length of the shortest convex combination of the gradients, over
        that of the shortest gradient: 0 at a Pareto stationary point.
      layers: of each array the share of opposed pairs, and [P] lengths.
      costs: of candidates, by name; those of `mean` are 1.
      trial: of candidates, by name, if there was a trial.
      is_module: whether the parameters came in an `nnx.Module`.
    """

    players: tuple[str, ...]
    steps: int
    sampled: bool
    heads: bool
    losses: tuple[np.ndarray, np.ndarray]
    norms: np.ndarray
    norm_ratio: float
    reliability: np.ndarray
    plain: Geometry
    metric: Geometry
    alike: bool
    stationarity: float
    layers: dict[str, tuple[float, np.ndarray]]
    costs: dict[str, Any] = {}  # noqa: RUF012
    trial: dict[str, Any] | None = None
    is_module: bool = False

    @property
    def noise(self) -> float:
        """Share of gradients that another batch does not repeat, in [0, 1]."""
        return float(1 - np.clip(np.mean(self.reliability), 0, 1))


def measure(
    probed: Probed, players: tuple[str, ...], *, sampled: bool, heads: bool = False
) -> Measures:
    """The numbers of a probe, without costs and a trial.

    Args:
      probed: what it met.
      players: their names.
      sampled: whether its cross products are of two draws.
      heads: whether some arrays belong to one player alone.
    """
    count = len(players)
    own = probed.plain[:, :count, :count]
    norms = norms_of(own)
    crossed = crossed_cosines(probed.plain, count)
    shares, lengths = probed.conflicts.mean(axis=0), np.median(probed.norms, axis=0)
    return Measures(
        players=players,
        steps=len(norms),
        sampled=sampled,
        heads=heads,
        losses=(probed.losses[0], probed.losses[-1]),
        norms=np.median(norms, axis=0),
        norm_ratio=_ratio(norms),
        reliability=np.mean(diagonals(crossed), axis=0),
        plain=geometry(probed.plain, count, probed.draws),
        metric=geometry(probed.metric, count, probed.draws),
        alike=sampled and _alike(crossed, probed.draws),
        stationarity=_stationarity(own),
        layers={
            path: (float(share), row)
            for path, share, row in zip(probed.paths, shares, lengths, strict=True)
        },
    )


def _alike(crossed: np.ndarray, draws: int) -> bool:
    count = crossed.shape[1]
    apart = ~np.eye(count, dtype=bool)
    if count < LEAST_ALIKE:
        return False
    nearer = diagonals(crossed).mean(axis=1) - crossed[:, apart].mean(axis=1)
    return bool(over_steps(nearer, draws).low <= 0)


def _stationarity(own: np.ndarray) -> float:
    """The median over steps of the least norm of a convex combination, relative."""
    largest = np.maximum(np.max(diagonals(own), axis=1), np.finfo(float).tiny)
    shown = jnp.asarray(own / largest[:, None, None], jnp.float32)
    return float(np.median(_least(shown)))


@jax.jit
@jax.vmap
def _least(gramian: jax.Array) -> jax.Array:
    rows = correlation(gramian)
    nearest = min_norm(rows, jnp.ones(len(gramian), bool))
    return jnp.minimum(nearest.norm / jnp.maximum(jnp.min(rows.norms), 1e-30), 1)


def _ratio(norms: np.ndarray) -> float:
    """The median over steps; players without a gradient do not count."""
    some = norms[(norms > 0).any(axis=1)]
    if not len(some):
        return 1.0
    least = np.where(some > 0, some, np.inf).min(axis=1)
    return float(np.median(some.max(axis=1) / least))
