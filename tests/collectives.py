"""What the devices exchange, read from a compiled program."""

import re
from typing import NamedTuple

_LINE = re.compile(
    r"= (?P<shapes>\(?[a-z].*?) (?P<name>all-reduce|all-gather|all-to-all"
    r"|reduce-scatter|collective-permute|collective-broadcast)(?:-start)?\("
)
_SHAPE = re.compile(r"(?P<kind>pred|[a-z]+(?P<bits>\d+))\[(?P<axes>[\d,]*)\]")


class Collective(NamedTuple):
    """One exchange between the devices."""

    name: str
    size: int  # elements of what a device has after it
    bytes: int
    always: bool  # whether every step makes it: it stands in no branch and no loop


def collectives(program: str) -> list[Collective]:
    """All exchanges in the text of a compiled program.

    Many arrays that are exchanged together are one.
    """
    entry = program.index("\nENTRY")
    end = program.index("\n}", entry)
    found = []
    for match in _LINE.finditer(program):
        shapes = [_size(*shape.groups()) for shape in _SHAPE.finditer(match["shapes"])]
        size, length = (sum(numbers) for numbers in zip(*shapes, strict=True))
        always = entry < match.start() < end
        found.append(Collective(match["name"], size, length, always))
    return found


def _size(kind: str, bits: str | None, axes: str) -> tuple[int, int]:
    size = 1
    for axis in axes.split(",") if axes else ():
        size *= int(axis)
    return size, size if kind == "pred" else size * int(bits or 8) // 8
