"""`neat-optax compact`: smaller networks from a finished run."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any

from rich import box
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from neat_optax import _lock

_NOTE = (
    "threshold: the size up to which a weight counts as zero; of {} that of the "
    "smallest network as accurate on validation data as the whole one; time: median of "
    "a call with {} examples."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompactOptions:
    """Removes the dead units of a finished run's networks.

    Restores the networks of a run, one for each seed, at the learning rate that was
    selected, removes hidden units that do nothing, and writes smaller networks that are
    as accurate on validation data.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """folder of a finished run"""
    candidate: Annotated[
        str | None,
        arg(
            metavar="NAME",
            help_behavior_hint="(default: the sparsest, or the only one)",
        ),
    ] = None
    """whose networks"""
    output: Annotated[str, arg(metavar="NAME")] = "compact"
    """name of what is written into the run's folder: NAME.json and the weights in NAME
    """


def compact(options: CompactOptions, arguments: Sequence[str]) -> None:
    """Compacts, and writes and shows what has changed.

    Args:
      options: what is asked for.
      arguments: the command line that asks for it.
    """
    from neat_optax.experiments.runs import compacting, running  # its imports take time

    del arguments
    run = compacting.open_run(pathlib.Path(options.run))
    with contextlib.ExitStack() as stack:
        stack.callback(_lock.hold(run.path, "run"))
        name = compacting.choose(run, options.candidate)
        report = compacting.compact_run(run, name, options.output)
    console = running.make_console()
    show(report, console)
    written = run.path / options.output
    console.print(f"written to {written} and {written}.json", highlight=False)


def show(report: dict[str, Any], console: Console) -> None:
    """Prints what has changed, for each seed."""
    table = Table(
        title=f"{report['candidate']}, rate {report['learning_rate']:g}",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    headings = ("seed", "threshold", "hidden", "parameters", "nonzero", "bytes")
    for heading in (*headings, "time", "val. %", "test %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for seed, row in report["seeds"].items():
        table.add_row(seed, "before", *_cells(row, "before"))
        small = f"{row['threshold']:g}" if row["accepted"] else "none"
        table.add_row("", small, *_cells(row, "after"))
    console.print(table)
    console.print()
    tried = ", ".join(f"{threshold:g}" for threshold in report["thresholds"])
    note = _NOTE.format(tried, report["examples_timed"])
    console.print(note, style="dim", highlight=False)


def _cells(row: dict[str, Any], when: str) -> list[str]:
    return [
        ", ".join(map(str, row[f"units_{when}"].values())),
        f"{row[f'parameters_{when}']:,}",
        f"{row[f'nonzeros_{when}']:,}",
        f"{row[f'bytes_{when}']:,}",
        f"{1e6 * row[f'seconds_{when}']:.0f} µs",
        f"{100 * row[f'validation_accuracy_{when}']:.2f}",
        f"{100 * row[f'test_accuracy_{when}']:.2f}",
    ]
