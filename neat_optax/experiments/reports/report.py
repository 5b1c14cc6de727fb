"""What a person reads of a run: a table and sentences."""

from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from neat_optax.experiments.candidates.pruning_methods import Rules
from neat_optax.experiments.reports.layouts import Layout, layout
from neat_optax.experiments.reports.statistics import (
    Interval,
    about_seeds,
    in_points,
)

F1 = "test_macro_f1_interval"
LATE = "late_minus_early"
_NOTE = (
    "test_accuracy: in percent, mean and 95 % interval over seeds; difference: to {}, "
    "mean of the paired ones, in points"
)
_F1 = "test_macro_f1: in percent, mean over labels"
_LATE = "late_minus_early: the last tenth of the tasks less the first, in points"


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table and the verdicts."""
    shown = _with_known_columns(layout(result), result)
    table = Table(
        title=_title(result),
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column(shown.kind, overflow="fold")
    reports = result[shown.reports]
    f1, late = (_if_known(name, reports) for name in (F1, LATE))
    names = ("learning_rate", "test_accuracy", *f1, "difference", *late)
    for name in (*names, *(column.monitor for column in shown.columns)):
        table.add_column(heading(name), justify="right", overflow="fold")
    for name, report in reports.items():
        difference = next(iter(result["differences"].get(name, {}).values()), None)
        table.add_row(name, *_cells(report, difference), *_measured(report, shown))
    console.print(table)
    console.print()
    console.print(_note(shown, bool(f1), bool(late)), style="dim", highlight=False)
    if warning := about_seeds(result["config"]["seeds"]):
        console.print(f"{warning}.", highlight=False)
    for against in result["differences"].values():
        for difference in against.values():
            console.print(difference["verdict"], highlight=False)


def heading(name: str) -> str:
    """A name, with a line for each of its words.

    Example:
      >>> print(heading("learning_rate"))
      learning_
      rate
    """
    return name.replace("_", "_\n")


def _if_known(name: str, reports: dict[str, Any]) -> tuple[str, ...]:
    """The heading of what some candidates have, or none."""
    known = any(name in report for report in reports.values())
    return (name.removesuffix("_interval"),) if known else ()


def _with_known_columns(shown: Layout, result: dict[str, Any]) -> Layout:
    """A layout without the columns in which every report has nothing, or 0."""
    found = [report[shown.read] for report in result[shown.reports].values()]
    columns = (c for c in shown.columns if any(x.get(c.monitor) for x in found))
    return shown._replace(columns=tuple(columns))


def _note(shown: Layout, with_f1: bool, with_late: bool) -> str:
    """What the headings mean."""
    parts = [_NOTE.format(shown.control)]
    if with_f1:
        parts.append(_F1)
    if with_late:
        parts.append(_LATE)
    parts += [f"{column.monitor}: {column.about}" for column in shown.columns]
    return "; ".join([*parts, shown.note] if shown.note else parts) + "."


def _title(result: dict[str, Any]) -> str:
    config = result["config"]
    players = f", players: {config['players']}" if config["players"] else ""
    pruned = _pruned(config) if config.get("prune") else ""
    return (
        f"{config['dataset']}{players}{pruned}{_unusual(config)}, seeds: "
        f"{config['seeds']}, epochs: {config['epochs']}, {_rate(result)}"
    )


def _rate(result: dict[str, Any]) -> str:
    """Where the learning rates come from."""
    reports = result[layout(result).reports]
    selected = [
        name for name, x in reports.items() if len(x["learning_rates_tried"]) > 1
    ]
    if not selected:
        return "rates as given"
    whose = f" of {', '.join(selected)}" if len(selected) < len(reports) else ""
    return f"rates{whose} selected on validation"


def _unusual(config: dict[str, Any]) -> str:
    """What else is not as it is by default."""
    parts = [str(config["stream"])] if config.get("stream") else []
    if config.get("fraction", 1) != 1:
        parts.append(f"{100 * config['fraction']:g} % of the examples")
    if config.get("label_noise"):
        parts.append(f"{100 * config['label_noise']:g} % wrong labels")
    if config.get("schedule", "constant") != "constant":
        parts.append(config["schedule"])
    return "".join(f", {part}" for part in parts)


def _pruned(config: dict[str, Any]) -> str:
    """What differs from the usual, so that the title stays short."""
    usual = Rules()._asdict()
    options = [config[name] for name, x in usual.items() if config[name] != x]
    return "".join(f", {option}" for option in options)


def _cells(report: dict[str, Any], difference: dict[str, Any] | None) -> list[str]:
    cells = [
        f"{report['learning_rate']:g}",
        _percent(report["test_accuracy_interval"]),
    ]
    if F1 in report:
        cells.append(f"{100 * report[F1].mean:.1f}")
    cells.append("" if difference is None else in_points(difference["interval"].mean))
    if LATE in report:
        cells.append(in_points(report[LATE].mean, 1))
    return cells


def _measured(report: dict[str, Any], shown: Layout) -> list[str]:
    found = report[shown.read]
    return [
        f"{found[column.monitor]:{column.form}}" if column.monitor in found else ""
        for column in shown.columns
    ]


def _percent(accuracy: Interval) -> str:
    mean = f"{100 * accuracy.mean:.2f}"
    if np.isnan(accuracy.low):
        return mean
    return f"{mean} ± {50 * (accuracy.high - accuracy.low):.2f}"
