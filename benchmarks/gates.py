"""A line of a benchmark's table, and the table."""

from typing import NamedTuple


class Gate(NamedTuple):
    """One line of the table."""

    name: str
    target: str
    figure: str
    met: bool | None


def show(gates):
    """Prints a table in Markdown."""
    print("\n| gate | target | measured | |\n|---|---|---|---|")
    for gate in gates:
        mark = "" if gate.met is None else "met" if gate.met else "missed"
        print(f"| {gate.name} | {gate.target} | {gate.figure} | {mark} |")
