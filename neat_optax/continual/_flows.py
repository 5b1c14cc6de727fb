"""Follows what comes out of layers through a program, for as long as it is theirs."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from neat_optax import _program
from neat_optax._sites._reader import Path, Reading
from neat_optax._sites._rules import Site

GIVEN: Path = ()
"""The source of what the program is given as data."""
_CALLS = ("jit", "pjit", "closed_call", "checkpoint", "remat", "remat2")
_CUSTOM = ("custom_jvp_call", "custom_vjp_call")
LAYERS = ("dense", "convolution", "lookup")
"""Kinds of sites that take data in. A bias is added to them."""


class Units(NamedTuple):
    """Which units the elements of an array belong to.

    At the number `i` of the axis is the unit `i % width`: a flatten may put places
    before the units of one axis.
    """

    axis: int
    width: int


class Seen(NamedTuple):
    """The result of an operation, with its units."""

    path: Path
    units: Units


class Flow(NamedTuple):
    """What is known of an array.

    Attributes:
      sources: the layers that it comes from, by way of no other layer.
      units: where each element is of one unit, those of a source.
      seen: where that was so last. Of several sources it says nothing.
    """

    sources: frozenset[Path] = frozenset()
    units: Units | None = None
    seen: Seen | None = None


Found = dict[Path, set[Seen]]
"""For each layer, what others made their data of."""


def follow(jaxpr: Any, given: list[Flow], reading: Reading) -> Found:
    """Where the units of each layer are seen last before other layers take them in.

    A layer has an entry if the data of another one come from it alone.

    Args:
      jaxpr: the program.
      given: of its arguments.
      reading: its sites.
    """
    found: Found = {}
    _follow(jaxpr, given, (), reading, found)
    found.pop(GIVEN, None)
    return found


def _follow(
    jaxpr: Any, given: list[Flow], path: Path, reading: Reading, found: Found
) -> list[Flow]:
    known = dict(zip(jaxpr.invars, given, strict=True))

    def flow_of(var: Any) -> Flow:
        literal = _program.is_literal(var)
        return Flow() if literal else known.get(var, Flow())

    for number, eqn in enumerate(jaxpr.eqns):
        here, flows = (*path, number), [flow_of(var) for var in eqn.invars]
        results = _results(eqn, flows, here, reading, found)
        for var, flow in zip(eqn.outvars, results, strict=True):
            counts = jnp.issubdtype(var.aval.dtype, jnp.inexact)  # others only choose
            known[var] = flow if counts else Flow()
    return [flow_of(var) for var in jaxpr.outvars]


def _results(
    eqn: Any, flows: list[Flow], here: Path, reading: Reading, found: Found
) -> list[Flow]:
    name, site = eqn.primitive.name, reading.sites.get(here)
    if site is not None and site.kind in LAYERS:
        return [_of_layer(eqn, site, flows[site.data], here, found)]
    if name in _CALLS and here in reading.opened:
        return _follow(_program.called(eqn), flows, here, reading, found)
    if name in (*_CALLS, *_CUSTOM):
        nothing = Reading({}, set(), {})
        inner = _follow(_program.called(eqn), flows, here, nothing, {})
        kept = [_kept(flow.units, flows, here) for flow in inner]
        return kept if len(kept) == 1 else [one._replace(units=None) for one in kept]
    units = None
    if name in _program.ELEMENTWISE:
        units = _only({flow.units for flow in flows if flow.units})
    elif name in _MOVES and flows[0].units:
        units = _MOVES[name](eqn, flows[0].units)
    return [_kept(units, flows, here) for _ in eqn.outvars]


def _kept(units: Units | None, flows: list[Flow], here: Path) -> Flow:
    """Of a result that is made of other arrays."""
    sources = frozenset[Path]().union(*(flow.sources for flow in flows))
    if units:
        return Flow(sources, units, Seen(here, units))
    return Flow(sources, None, _only({flow.seen for flow in flows if flow.seen}))


def _of_layer(eqn: Any, site: Site, data: Flow, here: Path, found: Found) -> Flow:
    if data.seen and len(data.sources) == 1:
        (source,) = data.sources
        found.setdefault(source, set()).add(data.seen)
    units = _units(eqn, site)
    sources = frozenset([here])
    return Flow(sources, units, Seen(here, units)) if units else Flow(sources)


def _units(eqn: Any, site: Site) -> Units | None:
    """The axis of a result that has one place for each unit of a layer."""
    shape, numbers = eqn.outvars[0].aval.shape, eqn.params["dimension_numbers"]
    if site.kind == "convolution":
        axis = numbers.out_spec[1]
        return Units(axis, shape[axis])
    if site.kind != "dense":
        return None
    contracting, batch = (part[1 - site.data] for part in numbers)
    own = eqn.invars[1 - site.data].aval.ndim - len(contracting) - len(batch)
    if batch or own != 1:
        return None
    axis = 0 if site.data else len(shape) - 1
    return Units(axis, shape[axis])


def _only(some: set[Any]) -> Any:
    return next(iter(some)) if len(some) == 1 else None


def _transposed(eqn: Any, units: Units) -> Units | None:
    return units._replace(axis=eqn.params["permutation"].index(units.axis))


def _broadcast(eqn: Any, units: Units) -> Units | None:
    axis = eqn.params["broadcast_dimensions"][units.axis]
    return units._replace(axis=axis)


def _reshaped(eqn: Any, units: Units) -> Units | None:
    """The axis with as many elements behind it, if it holds whole rounds of units."""
    before, after = (var.aval.shape for var in (eqn.invars[0], eqn.outvars[0]))
    behind = math.prod(before[units.axis + 1 :])
    for axis, size in enumerate(after):
        alike = math.prod(after[axis + 1 :]) == behind
        if alike and size % units.width == 0:
            return units._replace(axis=axis)
    return None


_MOVES: dict[str, Callable[[Any, Units], Units | None]] = {
    "transpose": _transposed,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshaped,
    "squeeze": _reshaped,
    "expand_dims": _reshaped,
}
