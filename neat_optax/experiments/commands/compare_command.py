"""`neat-optax compare`: the results of several runs in one table."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated

from rich import box
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from neat_optax.experiments.reports import tables
from neat_optax.experiments.runs import running
from neat_optax.experiments.runs.reading import read_run

_WIDE = 200
_NOTE = (
    "low and high: ends of the 95 % interval of the mean over seeds; the epochs of a "
    "search are generations, at most"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Puts the results of finished runs into one table.

    What has the same name in several runs stands together.
    """

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN [RUN ...]")]
    """folders of finished runs of train or evolve"""
    csv: Annotated[
        str | None, arg(metavar="FILE", help_behavior_hint="(default: none)")
    ] = None
    """a new file for the same table"""


def compare(options: CompareOptions, arguments: Sequence[str]) -> None:
    """Shows the table, and writes it where that is asked for.

    Args:
      options: what is asked for.
      arguments: the command line that asks for it.
    """
    del arguments
    if not options.runs:
        raise ValueError("`run` must be given at least once, got none.")
    if options.csv is not None and pathlib.Path(options.csv).exists():
        raise ValueError(f"`csv` must be a new file, got {options.csv}.")
    rows = tables.summaries([read_run(path) for path in options.runs])
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)  # nothing has to be folded in a file
    show(rows, console)
    if options.csv is not None:
        tables.write(rows, pathlib.Path(options.csv))
        running.say(console, f"written to {options.csv}")


def show(rows: Sequence[tables.Summary], console: Console) -> None:
    """Prints a line for each candidate of each run."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True
    )
    for name in tables.Summary._fields:
        words = name in ("candidate", "run", "dataset", "measure")
        justify = "left" if words else "right"
        table.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    console.print(table)
    console.print()
    console.print(_NOTE, style="dim", highlight=False)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if value != value else f"{value:.4g}"  # nan: nothing to say
