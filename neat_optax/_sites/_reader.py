"""Reads a program for its sites: which operations multiply data by a parameter."""

from typing import Any, NamedTuple

from neat_optax import _program
from neat_optax._sites import _loops, _rules, _views
from neat_optax._sites._rules import Site
from neat_optax._sites._views import Loop, View

Path = tuple[int, ...]
"""The number of an operation, after those of the calls and loops that it is in."""
_CALLS = ("jit", "pjit", "closed_call", "checkpoint", "remat", "remat2")


class Reading(NamedTuple):
    """What a program does with its parameters.

    Attributes:
      sites: where each of them meets data.
      opened: calls and loops that have sites inside.
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
    _lose(_read(jaxpr, views, (), reading), "the result", reading)
    for path in reading.sites:
        reading.opened.update(path[:length] for length in range(1, len(path)))
    return reading


def _lose(views: list[View | None], use: str, reading: Reading) -> None:
    for view in filter(None, views):
        reading.lost[view.leaf] = use


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
            made = _read_inside(eqn, seen, here, reading)
            views |= {v: m for v, m in zip(eqn.outvars, made, strict=True) if m}
        elif eqn.primitive.name == "scan":
            made = _read_inside(eqn, _in_turn(eqn, seen, reading), here, reading)
            _lose(made, "the results of a loop", reading)
        else:
            _read_one(eqn, seen, views, here, reading)
    return [view_of(var) for var in jaxpr.outvars]


def _read_inside(
    eqn: Any, seen: list[View | None], here: Path, reading: Reading
) -> list[View | None]:
    inner = _program.called(eqn)
    pairs = zip(inner.invars, seen, strict=True)
    return _read(inner, {var: view for var, view in pairs if view}, here, reading)


def _in_turn(eqn: Any, seen: list[View | None], reading: Reading) -> list[View | None]:
    """What a turn of a loop sees of views."""
    fixed, carried = _program.scan_parts(eqn)
    first = fixed + carried
    _lose(seen[fixed:first], "what a loop carries", reading)
    whole, sliced = (Loop(eqn.params["length"], kind) for kind in (False, True))
    return [
        *(view and view.inside(whole) for view in seen[:fixed]),
        *[None] * carried,
        *(view and view.inside(sliced) for view in seen[first:]),
    ]


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
            reading.sites[here] = _loops.repeated(site, view.loops)
            return
    _lose(seen, eqn.primitive.name, reading)
