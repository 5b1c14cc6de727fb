"""What a person sees of a run: pictures and TensorBoard curves."""

import pathlib
from typing import Any

import matplotlib.colors
import matplotlib.figure
import numpy as np
import tensorboardX

from neat_optax.experiments.candidates.prunings import CONTROL, group
from neat_optax.experiments.data.streams import parse
from neat_optax.experiments.reports.layouts import PRUNINGS, layout
from neat_optax.experiments.runs.writing import folder_name, write_with

_LEGEND_COLUMNS = 8
_SMOOTH = 20
"""A curve of a stream has as many independent points as that."""
_MARKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
"""Sparsities that are written below a picture."""


def draw(result: dict[str, Any], path: pathlib.Path) -> None:
    """Saves the curves of every candidate: mean over seeds, and their range."""
    shown = layout(result)
    figure = matplotlib.figure.Figure(figsize=(13, 4.6), layout="constrained")
    reports = result[shown.reports]
    width = _num_tasks(result) // _SMOOTH or 1
    known = [curve for curve in shown.curves if _is_known(curve[0], reports)]
    panels = figure.subplots(1, len(known), squeeze=False)[0]
    colors = _colors(result)
    for axes, (key, label) in zip(panels, known, strict=True):
        for number, (name, report) in enumerate(reports.items()):
            if key in report["curves"]:
                color = colors.get(name, f"C{number}")
                values = _smoothed(np.asarray(report["curves"][key]), width)
                _draw_curve(axes, name, values, color)
        if key == "loss":
            axes.set_yscale("log")
        axes.set_xlabel(shown.time)
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    rows = -(-len(labels) // _LEGEND_COLUMNS)
    columns = -(-len(labels) // rows)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    averaged = f", over {width} neighbouring {shown.time}s" if width > 1 else ""
    what = result["config"].get("stream") or ""
    title = f"{result['config']['dataset']} {what}".rstrip()
    figure.suptitle(f"{title}: mean and range over seeds{averaged}")
    write_with(path, lambda file: figure.savefig(file, dpi=120, format="png"))


def _num_tasks(result: dict[str, Any]) -> int:
    """How many tasks a stream has; 0 for what is no stream."""
    stream = result["config"].get("stream")
    return parse(stream).num_tasks if stream else 0


def _smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Means of (epoch, seed) over neighbors: fewer of them at both ends."""
    starts = [max(0, i - width // 2) for i in range(len(values))]
    return np.stack([values[i : i + width].mean(axis=0) for i in starts])


def _is_known(monitor: str, reports: dict[str, Any]) -> bool:
    """Whether any candidate has numbers for a monitor that are not all 0."""
    return any(np.any(report["curves"].get(monitor, 0)) for report in reports.values())


def _colors(result: dict[str, Any]) -> dict[str, Any]:
    """A color for each method that prunes, the paler the less it prunes."""
    reports = result.get(PRUNINGS.reports, {})
    methods = _by_method(reports)
    colors: dict[str, Any] = {CONTROL: "black"}
    for number, names in enumerate(methods.values()):
        full = np.asarray(matplotlib.colors.to_rgb(f"C{number}"))
        for rank, name in enumerate(names):
            paleness = 0.7 * (1 - (rank + 1) / len(names))
            colors[name] = tuple(full + paleness * (1 - full))
    return colors


def _by_method(reports: dict[str, Any]) -> dict[str, list[str]]:
    """The names of the prunings by method, each list from dense to sparse."""
    found: dict[str, list[str]] = {}
    for name in reports:
        if name != CONTROL:
            found.setdefault(group(name), []).append(name)
    for names in found.values():
        names.sort(key=lambda name: reports[name]["at_end"]["sparsity"])
    return found


def _draw_curve(axes: Any, name: str, values: np.ndarray, color: Any) -> None:
    """One candidate's values of shape (epoch, seed); controls are dashed, on top."""
    epochs = np.arange(1, len(values) + 1)
    control = name.endswith(("control", "mean", CONTROL))
    style = {"linestyle": "--", "zorder": 3} if control else {}
    (line,) = axes.plot(epochs, values.mean(axis=1), label=name, color=color, **style)
    low, high = values.min(axis=1), values.max(axis=1)
    axes.fill_between(
        epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0
    )


def draw_sparsity(result: dict[str, Any], path: pathlib.Path) -> None:
    """Saves test accuracy against sparsity: mean and 95 % interval over seeds."""
    reports = result[PRUNINGS.reports]
    figure = matplotlib.figure.Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    _draw_dense(axes, reports[CONTROL]["test_accuracy_interval"])
    methods = _by_method(reports)
    for number, (method, names) in enumerate(methods.items()):
        apart = 0.008 * (number - (len(methods) - 1) / 2)  # bars beside each other
        _draw_method(axes, method, [reports[name] for name in names], apart)
    shares = [report["at_end"]["sparsity"] for report in reports.values()]
    _label_sparsities(axes, max(shares))
    axes.set_ylabel("test accuracy")
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set_title(f"{result['config']['dataset']}: mean and 95 % interval over seeds")
    write_with(path, lambda file: figure.savefig(file, dpi=120, format="png"))


def _draw_dense(axes: Any, accuracy: Any) -> None:
    mean, low, high = accuracy
    axes.axhline(mean, color="black", linestyle="--", label=CONTROL)
    if np.isfinite(low):
        axes.axhspan(low, high, color="black", alpha=0.08, linewidth=0)


def _draw_method(axes: Any, method: str, reports: list[Any], apart: float) -> None:
    x = [_position(report["at_end"]["sparsity"]) + apart for report in reports]
    mean, low, high = np.transpose([r["test_accuracy_interval"] for r in reports])
    reach = np.nan_to_num([mean - low, high - mean])
    axes.errorbar(x, mean, reach, label=method, marker="o", capsize=3)


def _position(sparsity: Any) -> Any:
    """Equal steps for equal factors of what is left, since the last weights count."""
    return -np.log10(np.maximum(1 - np.asarray(sparsity), 1e-6))


def _label_sparsities(axes: Any, largest: float) -> None:
    marks = [s for s in _MARKS if _position(s) <= _position(largest) + 0.2]
    axes.set_xticks(_position(marks), [f"{100 * mark:g} %" for mark in marks])
    axes.set_xlabel("sparsity of the kernels (what is left: log scale)")


def write_tensorboard(result: dict[str, Any], folder: pathlib.Path) -> None:
    """Writes each candidate's curves, averaged over seeds, as TensorBoard scalars.

    Those written before are replaced: TensorBoard would show both.
    """
    for name, report in result[layout(result).reports].items():
        place = folder / folder_name(name)
        for written in place.glob("events.out.tfevents.*"):
            written.unlink()
        with tensorboardX.SummaryWriter(str(place)) as writer:
            for key, rows in report["curves"].items():
                for epoch, values in enumerate(rows, start=1):
                    writer.add_scalar(key, float(np.mean(values)), epoch)
