"""Reads a program for its sites, and runs it with something added at each of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from neat_optax import _program
from neat_optax._sites import _rules, _views
from neat_optax._sites._rules import Site
from neat_optax._sites._views import View

Path = tuple[int, ...]
"""The number of an operation, after those of the calls that it is in."""
_CALLS = ("jit", "pjit", "closed_call", "checkpoint", "remat", "remat2")


class Reading(NamedTuple):
    """What a program does with its parameters.

    Attributes:
      sites: where each of them meets data.
      opened: calls that have sites inside.
      lost: for each parameter that is used in some other way too, in which.
    """

    sites: dict[Path, Site]
    opened: set[Path]
    lost: dict[int, str]


def read(jaxpr: Any, count: int) -> Reading:
    """Reads a program whose first `count` arguments are parameters."""
    reading = Reading({}, set(), {})
    views = {
        var: _views.whole(number, var.aval.shape)
        for number, var in enumerate(jaxpr.invars[:count])
    }
    found = _read(jaxpr, views, (), reading)
    for view in filter(None, found):
        reading.lost[view.leaf] = "the result"
    return reading


def _read(
    jaxpr: Any, views: dict[Any, View], path: Path, reading: Reading
) -> list[View | None]:
    """Adds what is in a jaxpr, and returns which of its results are views."""

    def view_of(var: Any) -> View | None:
        return None if _program.is_literal(var) else views.get(var)

    for number, eqn in enumerate(jaxpr.eqns):
        here, seen = (*path, number), [view_of(var) for var in eqn.invars]
        if not any(seen):
            continue
        if eqn.primitive.name in _CALLS:
            inner = _program.called(eqn)
            pairs = zip(inner.invars, seen, strict=True)
            known = {var: view for var, view in pairs if view}
            made = _read(inner, known, here, reading)
            reading.opened.add(here)
            views |= {v: m for v, m in zip(eqn.outvars, made, strict=True) if m}
        else:
            _read_one(eqn, seen, views, here, reading)
    return [view_of(var) for var in jaxpr.outvars]


def _read_one(
    eqn: Any,
    seen: list[View | None],
    views: dict[Any, View],
    here: Path,
    reading: Reading,
) -> None:
    known = [(number, view) for number, view in enumerate(seen) if view]
    position, view = known[0]
    if len(known) == 1:
        if moved := _views.follow(eqn, view):
            views[eqn.outvars[0]] = moved
            return
        if site := _rules.site_of(eqn, position, view):
            reading.sites[here] = site
            return
    for _, view in known:
        reading.lost[view.leaf] = eqn.primitive.name


def run(
    closed: Any,
    arguments: list[Any],
    opened: set[Path],
    at_site: Callable[[Path, list[Any], Any], Any],
    sites: Any,
) -> list[Any]:
    """Runs a program.

    Args:
      closed: the program.
      arguments: of it.
      opened: calls to run operation by operation.
      at_site: gets the path, the operands and the result of an operation at a site, and
        returns the result to go on with.
      sites: the paths of those.
    """

    def of(jaxpr: Any, consts: Any, arguments: list[Any], path: Path) -> list[Any]:
        known = dict(zip(jaxpr.constvars, consts, strict=True))
        known |= zip(jaxpr.invars, arguments, strict=True)

        def value(var: Any) -> Any:
            return var.val if _program.is_literal(var) else known[var]

        for number, eqn in enumerate(jaxpr.eqns):
            here, operands = (*path, number), [value(var) for var in eqn.invars]
            if here in opened:
                inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
                inside = _program.opened(inner)
                results = of(inside, getattr(inner, "consts", ()), operands, here)
            else:
                results = _program.apply(eqn, operands)
            if here in sites:
                results = [at_site(here, operands, results[0])]
            known |= zip(eqn.outvars, results, strict=True)
        return [value(var) for var in jaxpr.outvars]

    return of(closed.jaxpr, closed.consts, arguments, ())
