"""Runs a program with something added to the results at its sites."""

from typing import Any, NamedTuple

import jax

from neat_optax import _program
from neat_optax._sites._reader import Path
from neat_optax._sites._rules import Site

Arrays = dict[Path, jax.Array]
RESULT = -1
"""What follows the path of an operation that is watched, where its result is kept."""


class Tapped(NamedTuple):
    """A program with its sites.

    Attributes:
      closed: the program.
      sites: of it.
      opened: the calls and loops that they are in.
      watched: other operations whose first result is asked for.
    """

    closed: Any
    sites: dict[Path, Site]
    opened: set[Path]
    watched: frozenset[Path] = frozenset()

    def run(self, arguments: list[Any], taps: Arrays) -> tuple[list[Any], Arrays]:
        """The results, the data that was met at the sites, and what is watched.

        Args:
          arguments: of the program.
          taps: what to add to the result of each site. A tap has the gradient of the
            result that it is added to. Turns of loops are axes in front.
        """
        return self._run(self.closed.jaxpr, [*self.closed.consts, *arguments], (), taps)

    def _run(
        self, jaxpr: Any, arguments: list[Any], path: Path, taps: Arrays
    ) -> tuple[list[Any], Arrays]:
        known = dict(zip([*jaxpr.constvars, *jaxpr.invars], arguments, strict=True))
        met: Arrays = {}

        def value(var: Any) -> Any:
            return var.val if _program.is_literal(var) else known[var]

        for number, eqn in enumerate(jaxpr.eqns):
            here, operands = (*path, number), [value(var) for var in eqn.invars]
            if here in self.opened:
                some = {k: tap for k, tap in taps.items() if k[: len(here)] == here}
                is_loop = eqn.primitive.name == "scan"
                inside = self._run_loop if is_loop else self._run_call
                results, found = inside(eqn, operands, here, some)
                met |= found
            else:
                results = _program.apply(eqn, operands)
            if here in taps:
                met[here] = operands[self.sites[here].data]
                results = [results[0] + taps[here]]
            if here in self.watched:
                met[*here, RESULT] = results[0]
            known |= zip(eqn.outvars, results, strict=True)
        return [value(var) for var in jaxpr.outvars], met

    def _run_call(
        self, eqn: Any, operands: list[Any], here: Path, taps: Arrays
    ) -> tuple[list[Any], Arrays]:
        inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
        consts = getattr(inner, "consts", ())
        return self._run(_program.opened(inner), [*consts, *operands], here, taps)

    def _run_loop(
        self, eqn: Any, operands: list[Any], here: Path, taps: Arrays
    ) -> tuple[list[Any], Arrays]:
        fixed, carried = _program.scan_parts(eqn)
        first = fixed + carried

        def turn(carry: list[Any], given: tuple[list[Any], Arrays]) -> Any:
            rows, some = given
            arguments = [*operands[:fixed], *carry, *rows]
            results, met = self._run_call(eqn, arguments, here, some)
            return results[:carried], (results[carried:], met)

        carry, (stacked, met) = jax.lax.scan(
            turn,
            operands[fixed:first],
            (operands[first:], taps),
            eqn.params["length"],
            eqn.params["reverse"],
            eqn.params["unroll"],
        )
        return [*carry, *stacked], met
