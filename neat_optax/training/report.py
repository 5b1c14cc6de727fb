"""What a person sees of a run: a table, sentences, a picture, TensorBoard curves."""

import pathlib
from typing import Any, NamedTuple

import matplotlib.figure
import numpy as np
import tensorboardX
from rich import box
from rich.console import Console
from rich.table import Table

from neat_optax.training.statistics import Interval

F1 = "test_macro_f1_interval"
_NOTE = (
    "test: accuracy, mean and 95 % interval over seeds; to control: mean paired "
    "difference in points; "
)


class Layout(NamedTuple):
    """How the runs of one kind of candidate are shown."""

    kind: str
    columns: tuple[tuple[str, str, str], ...]  # heading, measure, format
    note: str
    curves: tuple[tuple[str, str], ...]

    @property
    def reports(self) -> str:
        """Where a result holds the reports."""
        return f"{self.kind}s"


OPTIMIZERS = Layout(
    kind="optimizer",
    columns=(
        ("conflicts", "opposed", ".1%"),
        ("correction", "correction_ratio", ".2%"),
    ),
    note="conflicts: share of steps and weights whose gradient opposes its opponent, "
    "or its own average where there is none; correction: its norm as a share of the "
    "gradient's.",
    curves=(
        ("validation_accuracy", "validation accuracy"),
        ("conflict", "mean conflict"),
        ("correction_ratio", "correction / gradient"),
    ),
)
AGGREGATORS = Layout(
    kind="aggregator",
    columns=(
        ("pairs", "conflicting_pairs", ".1%"),
        ("steps", "opposed", ".0%"),
        ("worst", "worst_cosine", "+.2f"),
        ("turn", "correction_ratio", ".3f"),
    ),
    note="pairs: share of pairs of players in conflict; steps: share of steps with "
    "such a pair; worst: the smallest cosine of a pair; turn: distance of the update's "
    "direction from the mean gradient's, of at most 2. Adam takes the step.",
    curves=(
        ("validation_accuracy", "validation accuracy"),
        ("conflicting_pairs", "share of pairs in conflict"),
        ("correction_ratio", "turn away from the mean gradient"),
    ),
)


def layout(result: dict[str, Any]) -> Layout:
    """How a result is shown."""
    return OPTIMIZERS if OPTIMIZERS.reports in result else AGGREGATORS


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table and the verdicts."""
    shown = layout(result)
    table = Table(
        title=_title(result["config"]),
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column(shown.kind, no_wrap=True)
    reports = result[shown.reports]
    with_f1 = any(F1 in report for report in reports.values())
    headings = ("rate", "test %", *(("F1",) if with_f1 else ()), "to control")
    for heading in (*headings, *(column[0] for column in shown.columns)):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, report in reports.items():
        difference = result["differences"].get(name)
        table.add_row(name, *_cells(report, difference), *_measured(report, shown))
    console.print(table)
    console.print()
    f1 = "F1: mean over labels; " if with_f1 else ""
    console.print(_NOTE + f1 + shown.note, style="dim")
    for difference in result["differences"].values():
        console.print(difference["verdict"], highlight=False)


def _title(config: dict[str, Any]) -> str:
    rate = "selected on validation" if config["learning_rate"] is None else "as given"
    players = f", players: {config['players']}" if config["players"] else ""
    return (
        f"{config['dataset']}{players}, seeds: {config['seeds']}, epochs: "
        f"{config['epochs']}, rate {rate}"
    )


def _cells(report: dict[str, Any], difference: dict[str, Any] | None) -> list[str]:
    cells = [
        f"{report['learning_rate']:.3g}",
        _percent(report["test_accuracy_interval"]),
    ]
    if F1 in report:
        cells.append(f"{100 * report[F1].mean:.1f}")
    mean = None if difference is None else 100 * difference["interval"].mean
    return [*cells, "" if mean is None else f"{mean:+.2f}"]


def _measured(report: dict[str, Any], shown: Layout) -> list[str]:
    return [f"{report['mean_over_run'][key]:{form}}" for _, key, form in shown.columns]


def _percent(accuracy: Interval) -> str:
    mean = f"{100 * accuracy.mean:.2f}"
    if np.isnan(accuracy.low):
        return mean
    return f"{mean} ± {50 * (accuracy.high - accuracy.low):.2f}"


def draw(result: dict[str, Any], path: pathlib.Path) -> None:
    """Saves the curves of every candidate: mean over seeds, and their range."""
    shown = layout(result)
    figure = matplotlib.figure.Figure(figsize=(13, 4.6), layout="constrained")
    panels = figure.subplots(1, len(shown.curves))
    for axes, (key, label) in zip(panels, shown.curves, strict=True):
        for name, report in result[shown.reports].items():
            _draw_curve(axes, name, np.asarray(report["curves"][key]))
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(f"{result['config']['dataset']}: mean and range over seeds")
    figure.savefig(path, dpi=120)


def _draw_curve(axes: Any, name: str, values: np.ndarray) -> None:
    """One candidate's values of shape (epoch, seed); controls are dashed, on top."""
    epochs = np.arange(1, len(values) + 1)
    control = name.endswith(("control", "mean"))
    style = {"linestyle": "--", "zorder": 3} if control else {}
    (line,) = axes.plot(epochs, values.mean(axis=1), label=name, **style)
    low, high = values.min(axis=1), values.max(axis=1)
    axes.fill_between(
        epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0
    )


def write_tensorboard(result: dict[str, Any], folder: pathlib.Path) -> None:
    """Writes each candidate's curves, averaged over seeds, as TensorBoard scalars."""
    for name, report in result[layout(result).reports].items():
        with tensorboardX.SummaryWriter(str(folder / name)) as writer:
            for key, rows in report["curves"].items():
                for epoch, values in enumerate(rows, start=1):
                    writer.add_scalar(key, float(np.mean(values)), epoch)
