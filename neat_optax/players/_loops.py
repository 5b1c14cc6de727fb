"""Dependence through branches and loops over an axis.

A rule takes an operation, the flows of its arguments (see `_dependence`) and the
function that follows a jaxpr.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from neat_optax import _program
from neat_optax.players._moves import anywhere, over, uniform

_Follow = Callable[[Any, list[Any]], list[Any]]
_UNROLLED = 64  # turns of a loop that are followed one by one
_ROUNDS = 8  # after these, elements of what a longer loop carries are not told apart


def _cond(eqn: Any, flows: list[Any], follow: _Follow) -> list[Any]:
    """The branch that is taken, where that is known, or all of them."""
    branches, number = eqn.params["branches"], flows[0].value()
    if number is not None:
        branches = branches[min(max(int(number), 0), len(branches) - 1) :][:1]
    found = [follow(_program.opened(branch), flows[1:]) for branch in branches]
    return [_either(results) for results in zip(*found, strict=True)]


def _either(flows: Iterable[Any]) -> Any:
    """What depends on all that any of some flows does."""
    first, *others = flows
    union = functools.reduce(np.bitwise_or, [x.depends for x in others], first.depends)
    return _unknown(first, union)


def _unknown(like: Any, depends: np.ndarray) -> Any:
    """A flow whose value is not known."""
    return like._replace(depends=depends, value=lambda: None)


def _scan(eqn: Any, flows: list[Any], follow: _Follow) -> list[Any]:
    body, length = _program.opened(eqn.params["jaxpr"]), eqn.params["length"]
    fixed, carried = _program.scan_parts(eqn)
    whole = fixed + carried
    consts, carry, rows = flows[:fixed], flows[fixed:whole], flows[whole:]
    if not 0 < length <= _UNROLLED:
        rows = [_unknown(row, over(row.depends, [0])[0]) for row in rows]
        return _long(body, consts, carry, rows, follow)
    turns = list(range(length))
    stacked = {}
    for turn in reversed(turns) if eqn.params["reverse"] else turns:
        given = [*consts, *carry, *(_turn(row, turn) for row in rows)]
        results = follow(body, given)
        carry, stacked[turn] = results[:carried], results[carried:]
    return [*carry, *map(_joined, zip(*(stacked[turn] for turn in turns), strict=True))]


def _turn(row: Any, turn: int) -> Any:
    """What one turn of a loop sees of an array with an axis of turns."""

    def value() -> Any:
        found = row.value()
        return None if found is None else found[turn]

    at = turn if len(row.depends) > 1 else 0
    return row._replace(depends=row.depends[at], value=value)


def _joined(turns: tuple[Any, ...]) -> Any:
    """What all turns of a loop give, with an axis of turns."""
    depends = np.broadcast_arrays(*(flow.depends for flow in turns))
    return _unknown(turns[0], np.stack(depends))


def _long(
    body: Any, consts: list[Any], carry: list[Any], rows: list[Any], follow: _Follow
) -> list[Any]:
    """All turns at once: what is carried grows until nothing is added to it."""
    consts, carry = ([_either([x]) for x in flows] for flows in (consts, carry))
    rounds = 0
    while True:
        results = follow(body, [*consts, *carry, *rows])
        grown = [_either(x) for x in zip(carry, results[: len(carry)], strict=True)]
        pairs = zip(carry, grown, strict=True)
        if not any((new.depends & ~old.depends).any() for old, new in pairs):
            break
        rounds += 1
        carry = [_blurred(x) for x in grown] if rounds > _ROUNDS else grown
    return [*carry, *(_unknown(x, x.depends[None]) for x in results[len(carry) :])]


def _blurred(flow: Any) -> Any:
    depends = flow.depends
    return _unknown(flow, uniform(anywhere(depends), depends.ndim - 1))


RULES = {"cond": _cond, "scan": _scan}
