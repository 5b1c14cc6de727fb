"""Parent selection."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._random import as_key
from neat_optax.evolution._population import order


class Selection(NamedTuple):
    """A rule that prefers fit individuals, written for places in their order.

    `pool(count)` says how many of `count` candidates may be drawn, the best ones.
    `place(number, size)` maps numbers that are uniform in [0, 1) to places 0, 1, ...
    below `size`, 0 for the best: it is the inverse of the rule's distribution.
    """

    name: str
    pool: Callable[[jax.Array], jax.Array]
    place: Callable[[jax.Array, jax.Array], jax.Array]

    def __repr__(self) -> str:
        return f"<selection {self.name}>"

    def __call__(
        self, key: jax.Array | int, fitness: jax.Array, shape: tuple[int, int]
    ) -> jax.Array:
        """The numbers of parents: see `select`."""
        return select(key, self, fitness, shape)


def truncation(k: int) -> Selection:
    """Truncation selection: each of the best `k` with the same probability.

    Args:
      k: an integer of at least 1. An eighth of the population is a strong choice, a
        half a weak one.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> fitness = jnp.array([1.0, 5.0, 2.0, 4.0])
      >>> parents = truncation(2)(jax.random.key(0), fitness, (100, 2))
      >>> sorted(set(parents.ravel().tolist()))
      [1, 3]
    """
    _checks.check_count("k", k, minimum=1, schedule=False)
    return Selection(f"truncation({k})", lambda count: jnp.minimum(k, count), _evenly)


def tournament(size: int) -> Selection:
    r"""Tournament selection: the best of `size` individuals drawn with replacement.

    Place :math:`j` of :math:`n` has the probability
    :math:`((n - j)^s - (n - j - 1)^s) / n^s`. One number is drawn for each tournament.

    Args:
      size: :math:`s`, an integer of at least 1; 1 selects at random.
    """
    _checks.check_count("size", size, minimum=1, schedule=False)

    def place(number: jax.Array, count: jax.Array) -> jax.Array:
        return jnp.floor(count * (1 - (1 - number) ** (1 / size)))

    return Selection(f"tournament({size})", lambda count: count, place)


@cites("baker1985adaptive")
def linear_rank(pressure: float = 1.5) -> Selection:
    r"""Linear rank selection: a probability that falls linearly with the rank.

    .. math:: P(j) = \frac{1}{n} \Bigl(s - 2 (s - 1) \frac{j}{n - 1}\Bigr)

    Args:
      pressure: :math:`s` in [1, 2], how often the best is drawn, relative to the
        average; the last is drawn :math:`2 - s` times as often.

    References:
      Baker, "Adaptive Selection Methods for Genetic Algorithms", 1985.
    """
    _checks.check_fields({"pressure": pressure}, {"pressure": "[1, 2]"})

    def place(number: jax.Array, count: jax.Array) -> jax.Array:
        """The largest j whose predecessors have at most the probability `number`."""
        slope = (pressure - 1) / jnp.maximum(count - 1, 1)
        middle, target = pressure + slope, number * count
        root = jnp.sqrt(jnp.maximum(middle**2 - 4 * slope * target, 0))
        return jnp.floor(2 * target / (middle + root))

    return Selection(f"linear_rank({pressure})", lambda count: count, place)


def select(
    key: jax.Array | int,
    selection: Selection,
    fitness: jax.Array,
    shape: tuple[int, int],
) -> jax.Array:
    """Selects the parents of each child.

    The parents of one child are different individuals: each further one is drawn by the
    same rule from those that are left. Only where none is left may one recur.

    Rejected individuals (fitness -inf) and those without a fitness (NaN) are never
    drawn, unless there are no others: then the rejected ones count as the candidates,
    and if there are none of these either, all do.

    Args:
      key: a random key or a seed.
      selection: `truncation(k)`, `tournament(size)`, `linear_rank(pressure)`, or a
        `Selection`, which may itself be called with the other arguments.
      fitness: an array [n].
      shape: (number of children, number of parents of each).

    Returns:
      An int32 array of that shape: the parents' numbers in the population.
    """
    _checks.check_kind("selection", selection, Selection)
    children, parents = shape
    ranked = order(fitness)
    size = selection.pool(_candidates(fitness))
    numbers = jax.random.uniform(as_key(key), (parents, children))
    places: list[jax.Array] = []
    for number in numbers:
        left = size - len(places)
        room = jnp.where(left > 0, left, size)
        place = selection.place(number, room.astype(jnp.float32)).astype(jnp.int32)
        place = jnp.clip(place, 0, room - 1)
        places.append(jnp.where(left > 0, _past(place, places), place))
    return ranked[jnp.stack(places, axis=1)]


def _past(place: jax.Array, taken: list[jax.Array]) -> jax.Array:
    """Places among those that are left, as places among all."""
    if not taken:
        return place
    for other in jnp.sort(jnp.stack(taken), axis=0):
        place = place + (place >= other)
    return place


def _candidates(fitness: jax.Array) -> jax.Array:
    """How many individuals, the first of their order, may become parents."""
    fitness = _tree.unsharded(jnp.asarray(fitness))
    valid = jnp.sum(fitness > -jnp.inf, dtype=jnp.int32)
    rejected = jnp.sum(fitness == -jnp.inf, dtype=jnp.int32)
    unknown = jnp.where(rejected > 0, rejected, fitness.shape[0])
    return jnp.where(valid > 0, valid, unknown)


def _evenly(number: jax.Array, count: jax.Array) -> jax.Array:
    return jnp.floor(number * count)
