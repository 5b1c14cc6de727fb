"""Gradients of many players through one program, factored where that is cheaper."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._factored import Factored
from neat_optax._sites import _reader
from neat_optax._sites._reader import Path
from neat_optax._sites._rules import Site
from neat_optax._sites._running import Arrays, Tapped


class Traced(NamedTuple):
    """The loss of one player as a program."""

    program: Tapped  # with the sites of parameters that are used at sites only
    treedef: Any  # of what it returns
    alone: list[int]  # numbers of the other parameters


def value_and_factored_grads(
    function: Callable[..., tuple[jax.Array, Any]], params: Any, rows: tuple[Any, ...]
) -> tuple[tuple[jax.Array, Any], Any]:
    """Losses, what is beside them, and gradients of players.

    One forward and one backward pass of all players. Nothing of the size of a gradient
    of each is formed for parameters that stay factored: they get no gradient, only the
    results of the operations that use them do.

    Args:
      function: from parameters and the row of one player to its loss and aux.
      params: a tree of arrays.
      rows: trees of arrays [P, ...].

    Returns:
      `((losses, aux), gradients)`, with a leading axis of players everywhere. Leaves of
      the gradients are arrays or `Factored`.
    """
    params, rows = jax.tree.map(jnp.asarray, (params, rows))
    leaves, treedef = jax.tree.flatten(params)
    flat_rows, rows_treedef = jax.tree.flatten(rows)
    count = len(flat_rows[0])

    def flat(*arguments: Any) -> Any:
        mine, row = arguments[: len(leaves)], arguments[len(leaves) :]
        return function(treedef.unflatten(mine), *rows_treedef.unflatten(row))

    traced = _trace(flat, leaves, flat_rows)
    own = [
        jnp.broadcast_to(leaves[n], (count, *jnp.shape(leaves[n])))
        for n in traced.alone
    ]
    taps = {
        path: jnp.zeros((count, *site.result.shape), site.result.dtype)
        for path, site in traced.program.sites.items()
    }

    def of_all(own: Any, taps: Any) -> Any:
        return jax.vmap(functools.partial(_run, traced, leaves))(own, taps, flat_rows)

    losses, pullback, (aux, met) = jax.vjp(of_all, own, taps, has_aux=True)
    of_own, back = pullback(_tree.varying_like(jnp.ones_like(losses), losses))
    found: dict[int, Any] = dict(zip(traced.alone, of_own, strict=True))
    sites = traced.program.sites
    for leaf in {site.leaf for site in sites.values()}:
        found[leaf] = _gradient(leaf, leaves[leaf].dtype, sites, met, back)
    gradients = treedef.unflatten([found[number] for number in range(len(leaves))])
    return (losses, aux), gradients


def _trace(
    flat: Callable[..., Any], leaves: list[jax.Array], flat_rows: list[jax.Array]
) -> Traced:
    row = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in flat_rows]
    closed, returned = jax.make_jaxpr(flat, return_shape=True)(*leaves, *row)
    reading = _reader.read(closed.jaxpr, len(leaves))
    sites = {
        path: site
        for path, site in reading.sites.items()
        if site.leaf not in reading.lost and not jnp.iscomplexobj(leaves[site.leaf])
    }
    factored = {site.leaf for site in sites.values()}
    alone = [number for number in range(len(leaves)) if number not in factored]
    program = Tapped(closed, sites, reading.opened)
    return Traced(program, jax.tree.structure(returned), alone)


def _run(
    traced: Traced,
    leaves: list[jax.Array],
    own: list[jax.Array],
    taps: Arrays,
    row: list[jax.Array],
) -> tuple[jax.Array, tuple[Any, Arrays]]:
    """The loss of one player, its aux, and the data that was met at each site.

    The parameters that are used in other ways are its own.
    """
    params = list(leaves)
    for number, mine in zip(traced.alone, own, strict=True):
        params[number] = mine
    found, met = traced.program.run([*params, *row], taps)
    loss, aux = traced.treedef.unflatten(found)
    return loss, (aux, met)


def _gradient(
    leaf: int,
    dtype: Any,
    sites: dict[Path, Site],
    met: Arrays,
    back: Arrays,
) -> Any:
    """Of one parameter: the sum over its uses."""
    uses = {path: site for path, site in sites.items() if site.leaf == leaf}
    parts = [
        Factored((site.term(met[path], back[path]),), site.layout, dtype)
        for path, site in uses.items()
    ]
    places = sum(site.places for site in uses.values())
    if len({part.layout for part in parts}) > 1 or not _cheaper(parts, places):
        return functools.reduce(jnp.add, [part.explicit() for part in parts])
    terms = tuple(term for part in parts for term in part.terms)
    return Factored(terms, parts[0].layout, dtype)


def _cheaper(parts: list[Factored], places: int) -> bool:
    """Whether products of factors take less arithmetic than those of gradients."""
    count, height = len(parts[0]), parts[0].layout.height
    width = parts[0].layout.width
    looked_up = all(
        left.ndim < right.ndim for part in parts for left, right in part.terms
    )
    entries = width if looked_up else height + width
    with_factors = count * places**2 * entries
    return places == 1 or with_factors < (places + count) * height * width
