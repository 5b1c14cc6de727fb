"""`neat-optax compact`: smaller networks from a finished run."""

import argparse
import pathlib
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from neat_optax.experiments.runs.compacting import (
    THRESHOLDS,
    choose,
    compact_run,
    open_run,
)

_NOTE = (
    "threshold: the size up to which a weight counts as zero; of {} that of the "
    "smallest network as accurate on validation data as the whole one; time: median of "
    "a call with {} examples."
)


def add_to(commands: Any) -> None:
    """Adds the command to a parser's commands."""
    compact = commands.add_parser(
        "compact",
        help="remove the dead units of a finished run's networks",
        description="Restores the networks of a run, one for each seed, at the "
        "learning rate that was selected, removes hidden units that do nothing, and "
        "writes smaller networks that are as accurate on validation data.",
    )
    add = compact.add_argument
    add("run_folder", metavar="RUN", help="folder of a finished run")
    add("--candidate", help="whose networks (default: the sparsest, or the only one)")
    add(
        "--output",
        default="compact",
        metavar="NAME",
        help="name of what is written into the run's folder: NAME.json and the weights "
        "in NAME (default: compact)",
    )
    compact.set_defaults(run=_compact)


def _compact(options: argparse.Namespace) -> None:
    run = open_run(pathlib.Path(options.run_folder))
    name = choose(run, options.candidate)
    report = compact_run(run, name, options.output)
    console = Console()
    show(report, console)
    written = run.path / options.output
    console.print(f"written to {written} and {written}.json", highlight=False)


def show(report: dict[str, Any], console: Console) -> None:
    """Prints what has changed, for each seed."""
    table = Table(
        title=f"{report['candidate']}, rate {report['learning_rate']:.3g}",
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
    tried = ", ".join(f"{threshold:g}" for threshold in THRESHOLDS)
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
