"""Runs any model once, and keeps what its layers took in and what came of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _tree
from neat_optax._sites._reader import Path, Reading, read
from neat_optax._sites._rules import Site
from neat_optax._sites._running import RESULT, Tapped
from neat_optax.continual import _flows
from neat_optax.continual._flows import Flow, Seen
from neat_optax.players import _modules


class Run(NamedTuple):
    """A run of a model.

    Attributes:
      outputs: what the model returned.
      params: the parameters as an optimizer sees them.
      leaves: their arrays.
      names: their paths.
      sites: where parameters meet data.
      met: by path, that data, and the results that are watched.
      seen: for each layer, what others made their data of.
    """

    outputs: Any
    params: Any
    leaves: list[jax.Array]
    names: list[str]
    sites: dict[Path, Site]
    met: dict[Path, jax.Array]
    seen: _flows.Found

    def layer(self, site: Site) -> str:
        """The path of the layer that a site is in."""
        return self.names[site.leaf].removesuffix("/kernel")

    def features(self) -> dict[str, list[jax.Array]]:
        """By the path of each layer, arrays [places, units], one for each use of it."""
        found: dict[str, list[jax.Array]] = {}
        for path, uses in self.seen.items():
            found.setdefault(self.layer(self.sites[path]), []).extend(
                _rows(self.met[*one.path, RESULT], one) for one in sorted(uses)
            )
        return found


def _rows(value: jax.Array, seen: Seen) -> jax.Array:
    axis, width = seen.units
    value = _tree.widen(jax.lax.stop_gradient(value))
    return jnp.moveaxis(value, axis, -1).reshape(-1, width)


def run_model(
    apply_fn: Callable[..., Any], params: optax.Params, args: Any, kwargs: Any
) -> Run:
    """Runs `apply_fn(params, *args, **kwargs)`."""
    given = _modules.opened(params)
    leaves, treedef = jax.tree.flatten(jax.tree.map(jnp.asarray, given.params))
    arrays, rebuild = _arrays(args, kwargs)

    def function(leaves: Any, rest: Any, arrays: Any) -> tuple[Any, Any]:
        point = given.merge(treedef.unflatten(leaves), *rest)
        args, kwargs = rebuild(arrays)
        outputs = apply_fn(point, *args, **kwargs)
        return outputs, given.carried(point)

    arguments = leaves, (given.keys, given.rest), arrays
    traced = _trace(function, *arguments)
    results, met = _run(traced, jax.tree.leaves(arguments))
    outputs, carried = traced.treedef.unflatten(results)
    given.keep(carried)
    like = _modules.pure(given.params)
    return Run(
        outputs,
        like,
        leaves,
        _tree.leaf_names(like),
        traced.reading.sites,
        met,
        traced.seen,
    )


class _Traced(NamedTuple):
    """A model as a program."""

    closed: Any
    treedef: Any  # of what it returns
    reading: Reading
    seen: _flows.Found


def _arrays(args: Any, kwargs: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The arrays among arguments, and the way back; flags and the like stay put."""
    leaves, treedef = jax.tree.flatten((args, kwargs))
    places = [n for n, leaf in enumerate(leaves) if hasattr(leaf, "dtype")]

    def rebuild(arrays: list[Any]) -> Any:
        found = dict(zip(places, arrays, strict=True))
        return treedef.unflatten([found.get(n, leaf) for n, leaf in enumerate(leaves)])

    return [leaves[n] for n in places], rebuild


def _trace(function: Callable[..., Any], *arguments: Any) -> _Traced:
    leaves, rest, data = arguments
    closed, returned = jax.make_jaxpr(function, return_shape=True)(*arguments)
    reading = read(closed.jaxpr, len(leaves))
    known = [Flow()] * len(jax.tree.leaves((leaves, rest)))
    fresh = [Flow(frozenset([_flows.GIVEN]))] * len(jax.tree.leaves(data))
    seen = _flows.follow(closed.jaxpr, [*known, *fresh], reading)
    return _Traced(closed, jax.tree.structure(returned), reading, seen)


def _run(traced: _Traced, flat: list[Any]) -> tuple[list[Any], dict[Path, jax.Array]]:
    """The results, and by path the data met at sites and what is seen of units."""
    sites, watched = traced.reading.sites, set[Path]()
    for seen in traced.seen.values():
        watched |= {one.path for one in seen}
    opened = set(traced.reading.opened)
    for path in watched:
        opened.update(path[:length] for length in range(1, len(path)))
    taps = {
        path: jnp.zeros(site.result.shape, site.result.dtype)
        for path, site in sites.items()
    }
    program = Tapped(traced.closed, sites, opened, frozenset(watched))
    return program.run(flat, taps)
