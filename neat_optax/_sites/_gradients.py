"""Gradients of many players through one program, factored where that is cheaper."""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._factored import Factored, Layout
from neat_optax._sites import _costs, _reader
from neat_optax._sites._chunks import in_chunks
from neat_optax._sites._costs import LeafCost
from neat_optax._sites._rules import Term
from neat_optax._sites._running import Arrays, Tapped

Choice = Callable[[LeafCost], bool]


class Traced(NamedTuple):
    """The loss of one player as a program."""

    program: Tapped  # with the sites of parameters that are used at sites only
    treedef: Any  # of what it returns
    costs: list[LeafCost]  # of each parameter

    def alone(self) -> list[int]:
        """Numbers of the parameters that have no sites, or are used elsewhere too."""
        tapped = {site.leaf for site in self.program.sites.values()}
        return [number for number in range(len(self.costs)) if number not in tapped]


def costs(
    function: Callable[..., Any], params: Any, rows: tuple[Any, ...]
) -> tuple[list[LeafCost], float]:
    """What every parameter costs, and the arithmetic of a plain step.

    That of a step counts contractions and convolutions, forward and twice backward.
    """
    traced = _trace(function, jax.eval_shape(lambda p: p, params), rows)
    players = len(jax.tree.leaves(rows)[0])
    forward = _costs.matmul_flops(traced.program.closed.jaxpr)
    return traced.costs, 3 * players * forward


def value_and_factored_grads(
    function: Callable[..., tuple[jax.Array, Any]],
    params: Any,
    rows: tuple[Any, ...],
    choose: Choice = operator.attrgetter("is_cheaper"),
    chunk_size: int | None = None,
) -> tuple[tuple[jax.Array, Any], Any]:
    """Losses, what is beside them, and gradients of players.

    One forward and one backward pass of all players. Nothing of the size of a gradient
    of each is formed for parameters that stay factored: they get no gradient, only the
    results of the operations that use them do.

    Args:
      function: from parameters and the row of one player to its loss and aux.
      params: a tree of arrays.
      rows: trees of arrays [P, ...].
      choose: whether a parameter that can be factored is, from what it costs.
      chunk_size: how many players are run through the program at a time.

    Returns:
      `((losses, aux), gradients)`, with a leading axis of players everywhere. Leaves of
      the gradients are arrays or `Factored`.
    """
    params, rows = jax.tree.map(jnp.asarray, (params, rows))
    traced = _trace(function, params, rows)

    def of_some(rows: tuple[Any, ...]) -> Any:
        return _of_players(traced, params, rows, choose)

    return in_chunks(of_some, rows, chunk_size)


def _of_players(traced: Traced, params: Any, rows: Any, choose: Choice) -> Any:
    leaves, treedef = jax.tree.flatten(params)
    sites, alone = traced.program.sites, traced.alone()
    own = [leaves[number] for number in alone]
    taps = {
        path: jnp.zeros(site.result.shape, site.result.dtype)
        for path, site in sites.items()
    }

    def of_player(row: list[jax.Array]) -> Any:
        run = functools.partial(_run, traced, leaves, row)
        loss, pullback, (aux, met) = jax.vjp(run, own, taps, has_aux=True)
        of_own, back = pullback(_tree.varying_like(jnp.ones_like(loss), loss))
        return (loss, aux), of_own, met, back

    values, of_own, met, back = jax.vmap(of_player)(jax.tree.leaves(rows))
    found: dict[int, Any] = dict(zip(alone, of_own, strict=True))
    for number in {site.leaf for site in sites.values()}:
        terms = [
            (site.layout, site.term(met[path], back[path]))
            for path, site in sites.items()
            if site.leaf == number
        ]
        cost = traced.costs[number]
        keep = cost.can_factor and choose(cost)
        found[number] = _gradient(terms, leaves[number].dtype, keep)
    return values, treedef.unflatten([found[number] for number in range(len(leaves))])


def _trace(function: Callable[..., Any], params: Any, rows: Any) -> Traced:
    leaves, treedef = jax.tree.flatten(params)
    flat_rows, rows_treedef = jax.tree.flatten(rows)

    def flat(*arguments: Any) -> Any:
        mine, row = arguments[: len(leaves)], arguments[len(leaves) :]
        return function(treedef.unflatten(mine), *rows_treedef.unflatten(row))

    row = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in flat_rows]
    closed, returned = jax.make_jaxpr(flat, return_shape=True)(*leaves, *row)
    reading = _reader.read(closed.jaxpr, len(leaves))
    lost = reading.lost | {
        number: "complex numbers"
        for number, leaf in enumerate(leaves)
        if jnp.iscomplexobj(leaf)
    }
    names = _tree.leaf_names(params)
    costs = [
        _costs.of_leaf(
            path,
            leaf,
            len(flat_rows[0]),
            [site for site in reading.sites.values() if site.leaf == number],
            lost.get(number),
        )
        for number, (path, leaf) in enumerate(zip(names, leaves, strict=True))
    ]
    kept = {path: x for path, x in reading.sites.items() if x.leaf not in lost}
    program = Tapped(closed, kept, reading.opened)
    return Traced(program, jax.tree.structure(returned), costs)


def _run(
    traced: Traced,
    leaves: list[jax.Array],
    row: list[jax.Array],
    own: list[jax.Array],
    taps: Arrays,
) -> tuple[jax.Array, tuple[Any, Arrays]]:
    """The loss of one player, its aux, and the data that was met at each site.

    The parameters that are used in other ways are its own.
    """
    params = list(leaves)
    for number, mine in zip(traced.alone(), own, strict=True):
        params[number] = mine
    found, met = traced.program.run([*params, *row], taps)
    loss, aux = traced.treedef.unflatten(found)
    return loss, (aux, met)


def _gradient(terms: list[tuple[Layout, Term]], dtype: Any, keep: bool) -> Any:
    """Of one parameter: the sum over its uses."""
    if keep:
        return Factored.of(tuple(term for _, term in terms), terms[0][0], dtype)
    parts = [Factored.of((term,), layout, dtype) for layout, term in terms]
    return functools.reduce(jnp.add, [part.explicit() for part in parts])
