"""Sites inside loops."""

import math

import jax

from neat_optax._sites._rules import Site, Term
from neat_optax._sites._views import Loop


def repeated(site: Site, loops: tuple[Loop, ...]) -> Site:
    """A site of all turns, which are axes in front of its data and of its result.

    Turns that see the whole parameter are further places where it is used. Those that
    see slices of it are groups.
    """
    if not loops:
        return site
    turns = tuple(loop.length for loop in loops)
    sliced = [1 + number for number, loop in enumerate(loops) if loop.sliced]
    whole = [1 + number for number, loop in enumerate(loops) if not loop.sliced]
    inner = range(1 + len(turns), 1 + len(turns) + _groups_of_turn(site, sliced))
    front = (0, *sliced, *inner, *whole)

    def arranged(factor: jax.Array, count: int) -> jax.Array:
        """[P turns..., (G,) T, ...]: with one axis of groups and one of places."""
        parts = factor.reshape(count, *turns, *factor.shape[1:])
        parts = parts.transpose(*front, *range(len(front), parts.ndim))
        shape, first, last = parts.shape, len(front) - len(whole), len(front) + 1
        groups = (math.prod(shape[1:first]),) if first > 1 else ()
        return parts.reshape(
            count, *groups, math.prod(shape[first:last]), *shape[last:]
        )

    def term(x: jax.Array, back: jax.Array) -> Term:
        flat = [a.reshape(-1, *a.shape[1 + len(turns) :]) for a in (x, back)]
        left, right = site.term(*flat)
        return arranged(left, len(back)), arranged(right, len(back))

    result = jax.ShapeDtypeStruct((*turns, *site.result.shape), site.result.dtype)
    places = site.places * math.prod(loop.length for loop in loops if not loop.sliced)
    return site._replace(result=result, places=places, term=term)


def _groups_of_turn(site: Site, sliced: list[int]) -> int:
    """How many axes of groups the factors of one turn have: one or none."""
    return int(len(site.layout.groups) > len(sliced))
