"""What a person sees of a run: a table, sentences, a picture, TensorBoard curves."""

import pathlib
from typing import Any

import matplotlib.figure
import numpy as np
import tensorboardX
from rich import box
from rich.console import Console
from rich.table import Table

from neat_optax.training.statistics import Interval

CURVES = (
    ("validation_accuracy", "validation accuracy"),
    ("conflict", "mean conflict"),
    ("correction_ratio", "correction / gradient"),
)


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table and the verdicts."""
    config = result["config"]
    rate = "selected on validation" if config["learning_rate"] is None else "as given"
    table = Table(
        title=f"{config['dataset']}, seeds: {config['seeds']}, epochs: "
        f"{config['epochs']}, rate {rate}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("optimizer", no_wrap=True)
    for heading in (
        "rate",
        "test %",
        "to control",
        "conflicts",
        "correction",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, report in result["optimizers"].items():
        table.add_row(name, *_cells(report, result["differences"].get(name)))
    console.print(table)
    console.print(
        "test: accuracy, mean and 95 % interval over seeds; to control: mean paired "
        "difference in points; conflicts: share of steps and weights whose gradient "
        "opposes its opponent, or its own average where there is none; correction: "
        "its norm as a share of the gradient's.",
        style="dim",
    )
    for difference in result["differences"].values():
        console.print(difference["verdict"], highlight=False)


def _cells(report: dict[str, Any], difference: dict[str, Any] | None) -> list[str]:
    run = report["mean_over_run"]
    return [
        f"{report['learning_rate']:.3g}",
        _percent(report["test_accuracy_interval"]),
        "" if difference is None else f"{100 * difference['interval'].mean:+.2f}",
        f"{run['opposed']:.1%}",
        f"{run['correction_ratio']:.2%}",
    ]


def _percent(accuracy: Interval) -> str:
    mean = f"{100 * accuracy.mean:.2f}"
    if np.isnan(accuracy.low):
        return mean
    return f"{mean} ± {50 * (accuracy.high - accuracy.low):.2f}"


def draw(result: dict[str, Any], path: pathlib.Path) -> None:
    """Saves the curves of every optimizer: mean over seeds, and their range."""
    figure = matplotlib.figure.Figure(figsize=(13, 4.6), layout="constrained")
    panels = figure.subplots(1, len(CURVES))
    for axes, (key, label) in zip(panels, CURVES, strict=True):
        for name, report in result["optimizers"].items():
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
    """One optimizer's values of shape (epoch, seed); controls are dashed, on top."""
    epochs = np.arange(1, len(values) + 1)
    control = name.endswith("control")
    style = {"linestyle": "--", "zorder": 3} if control else {}
    (line,) = axes.plot(epochs, values.mean(axis=1), label=name, **style)
    low, high = values.min(axis=1), values.max(axis=1)
    axes.fill_between(
        epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0
    )


def write_tensorboard(result: dict[str, Any], folder: pathlib.Path) -> None:
    """Writes each optimizer's curves, averaged over seeds, as TensorBoard scalars."""
    for name, report in result["optimizers"].items():
        with tensorboardX.SummaryWriter(str(folder / name)) as writer:
            for key, rows in report["curves"].items():
                for epoch, values in enumerate(rows, start=1):
                    writer.add_scalar(key, float(np.mean(values)), epoch)
