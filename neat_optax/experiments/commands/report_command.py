"""`neat-optax report`: the results of several runs in one table and one picture."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated

from rich import box
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from neat_optax.experiments.reports import tables
from neat_optax.experiments.reports.statistics import about_seeds
from neat_optax.experiments.runs import listing, running
from neat_optax.experiments.runs.reading import Run, read_run

_NONE = "(default: none)"
_NOTE = (
    "low and high: ends of the 95 % interval of the mean over seeds; difference: to "
    "the first run of the same candidate, the mean of the paired ones, seed by seed, "
    "with its interval; the epochs of a search are generations, at most"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Puts the results of finished runs into one table.

    What has the same name in several runs stands together. A folder of runs, such as
    that of a sweep, stands for all of them that are finished.
    """

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN [RUN ...]")]
    """folders of finished runs of train or evolve, or folders of such"""
    csv: Annotated[str | None, arg(metavar="FILE", help_behavior_hint=_NONE)] = None
    """a new file for the same table"""
    picture: Annotated[str | None, arg(metavar="FILE", help_behavior_hint=_NONE)] = None
    """a new .png file for the curves and results of runs of train"""


def report(options: ReportOptions, arguments: Sequence[str]) -> None:
    """Shows the table, and writes what is asked for.

    Args:
      options: what is asked for.
      arguments: the command line that asks for it.
    """
    del arguments
    if not options.runs:
        raise ValueError("`run` must be given at least once, got none.")
    for name, file in (("csv", options.csv), ("picture", options.picture)):
        if file is not None and pathlib.Path(file).exists():
            raise ValueError(f"`{name}` must be a new file, got {file}.")
    runs = [run for path in options.runs for run in _read(path)]
    rows = tables.summaries(runs)
    console = running.make_console()
    show(rows, console)
    if options.csv is not None:
        tables.write(rows, pathlib.Path(options.csv))
        running.say(console, f"written to {options.csv}")
    if options.picture is not None:
        from neat_optax.experiments.reports import comparison  # its imports take time

        comparison.draw(runs, rows, pathlib.Path(options.picture))
        running.say(console, f"written to {options.picture}")


def _read(path: str) -> list[Run]:
    """A run, or the finished ones of a folder."""
    found = listing.find(pathlib.Path(path))
    if not found or found == [pathlib.Path(path)]:
        return [read_run(path)]
    done = [read_run(run) for run in found if listing.is_finished(run)]
    if not done:
        raise ValueError(f"`run` must hold runs that are finished, got {path}.")
    return done


def show(rows: Sequence[tables.Summary], console: Console) -> None:
    """Prints a line for each candidate of each run."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True
    )
    for name in tables.Summary._fields:
        words = name in ("candidate", "run", "dataset", "measure", "against")
        justify = "left" if words else "right"
        table.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    console.print(table)
    console.print()
    console.print(_NOTE, style="dim", highlight=False)
    for warning in sorted({about_seeds(row.seeds) for row in rows} - {""}):
        console.print(warning, highlight=False)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if value != value else f"{value:.4g}"  # nan: nothing to say
