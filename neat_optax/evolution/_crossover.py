"""Crossover operators: how the genes of parents combine in a child."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax.evolution import _draws, _rows
from neat_optax.evolution._draws import Draws

Pair = tuple[jax.Array, jax.Array]


class Crossover(NamedTuple):
    """A rule from the weights of parents to those of a child, for one leaf.

    `cross(draws, parents)` takes an array [n, ...] from each parent of n children, and
    gives the children and the random words that are left for the mutation. `draws` is
    the key that all leaves share, a key of this leaf, and a word of 32 random bits for
    each gene.
    """

    name: str
    parents: int  # how many each child has
    cross: Callable[[Draws, Sequence[jax.Array]], Pair]

    def __repr__(self) -> str:
        return f"<crossover {self.name}>"


def uniform(parents: int = 2) -> Crossover:
    """Each gene comes from one of the parents, all with the same probability.

    Args:
      parents: how many, from 2 to 65535.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import evolution as evo
      >>> params = jnp.array([[0.0] * 100, [1.0] * 100])
      >>> pairs = jnp.array([[0, 1]])
      >>> child = evo.offspring(0, params, pairs, uniform(), evo.unchanged)
      >>> sorted(set(child.ravel().tolist()))
      [0.0, 1.0]
    """
    _checks.check_fields({"parents": parents}, {"parents": "[2, 65535]"})
    _checks.check_integer("parents", parents)

    def cross(draws: Draws, arrays: Sequence[jax.Array]) -> Pair:
        choice, left = _draws.choose(draws.word, parents)
        child = arrays[0]
        for number, array in enumerate(arrays[1:], start=1):
            child = jnp.where(choice == number, array, child)
        return child, left

    return Crossover(f"uniform({parents})", parents, cross)


@cites("muhlenbein1993predictive")
def line(extend: float = 0.25) -> Crossover:
    r"""A child on the line through two parents.

    .. math:: c = a + t\, (b - a), \qquad t \sim U(-d, 1 + d)

    with one :math:`t` for all genes of a child.

    Args:
      extend: :math:`d` at least 0, how far beyond the parents.

    References:
      Mühlenbein and Schlierkamp-Voosen, "Predictive Models for the Breeder Genetic
      Algorithm", 1993, extended line recombination.
    """
    _checks.check_fields({"extend": extend}, {"extend": "[0, inf)"})

    def cross(draws: Draws, arrays: Sequence[jax.Array]) -> Pair:
        first, second = map(_tree.widen, arrays)
        number = jax.random.uniform(draws.shared, first.shape[:1])
        t = _rows.per_row((1 + 2 * extend) * number - extend, first)
        return first + t * (second - first), draws.word

    return Crossover(f"line({extend})", 2, cross)


@cites("eshelman1993real")
def blend(extend: float = 0.5) -> Crossover:
    r"""Each gene from the interval between those of two parents, widened on both sides.

    .. math:: c_k = a_k + t_k\, (b_k - a_k), \qquad t_k \sim U(-d, 1 + d)

    Where children are not selected, their variance is that of the parents for
    :math:`d \approx 0.366`; below it the population shrinks by itself.

    Args:
      extend: :math:`d` at least 0.

    References:
      Eshelman and Schaffer, "Real-Coded Genetic Algorithms and Interval-Schemata",
      1993, BLX-alpha.
    """
    _checks.check_fields({"extend": extend}, {"extend": "[0, inf)"})

    def cross(draws: Draws, arrays: Sequence[jax.Array]) -> Pair:
        first, second = map(_tree.widen, arrays)
        number = _draws.uniform(_draws.words(draws.own, first))
        t = (1 + 2 * extend) * number - extend
        return first + t * (second - first), draws.word

    return Crossover(f"blend({extend})", 2, cross)


def _first(draws: Draws, arrays: Sequence[jax.Array]) -> Pair:
    return arrays[0], draws.word


clone = Crossover("clone", 1, _first)
"""One parent, and the child is like it."""
