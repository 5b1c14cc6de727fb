"""`neat-optax runs`: what is in a folder of runs."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated

from rich import box
from rich.table import Table
from tyro.conf import Positional, arg

from neat_optax.experiments.runs import listing, running


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunsOptions:
    """Lists the runs of a folder, the one that was started last at the end."""

    folder: Annotated[Positional[str], arg(metavar="FOLDER")] = "runs"
    """where runs are, and folders of runs such as those of sweeps"""


def runs(options: RunsOptions, arguments: Sequence[str]) -> None:
    """Prints a line for each run.

    Args:
      options: what is asked for.
      arguments: the command line that asks for it.
    """
    del arguments
    root = pathlib.Path(options.folder)
    found = [listing.describe(path, root) for path in listing.find(root)]
    if not found:
        raise ValueError(f"`folder` must be one with runs, got {root}.")
    console = running.make_console()
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True
    )
    for name in listing.Listed._fields:
        justify = "right" if name in ("epochs", "score") else "left"
        table.add_column(name, justify=justify, overflow="fold")
    for row in sorted(found, key=lambda row: row.started):
        score = "" if row.score is None else f"{row.score:.4g}"
        cells = [str(cell) for cell in row._replace(score=None)[:-1]]
        table.add_row(*cells, score)
    console.print(table)
    console.print()
    console.print(
        "score: of the best candidate, the mean over seeds on test data; of a run that "
        "is unfinished, on validation data in its last epoch",
        style="dim",
        highlight=False,
    )
