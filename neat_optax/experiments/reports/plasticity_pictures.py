"""What plasticity did over time: the spread of its coefficients, and norms."""

import pathlib
from typing import Any

import matplotlib.figure
import numpy as np

from neat_optax.experiments.reports.layouts import layout
from neat_optax.experiments.runs.writing import write_with

_NEEDED = ("plasticity", "plasticity_std", "plasticity_median")
_BOUNDS = ("plasticity_min", "plasticity_max")
_SHARES = (("near_minimum", "near the minimum"), ("near_maximum", "near the maximum"))
_NORMS = (
    ("gradient_norm", "gradient"),
    ("plastic_norm", "coefficients times gradient"),
)


def candidates(result: dict[str, Any]) -> list[str]:
    """The names of those whose coefficients are known."""
    reports = result[layout(result).reports]
    return [
        name
        for name, report in reports.items()
        if all(key in report["curves"] for key in (*_NEEDED, *_BOUNDS))
    ]


def draw(result: dict[str, Any], path: pathlib.Path) -> None:
    """Saves a column of panels for each candidate with plasticity: means over seeds.

    From above: coefficients, as their mean and median, a standard deviation around the
    mean, and the smallest and largest; shares of them near the bounds; norms of the
    gradient, before and after. All are those of the steps of an epoch, on average.

    Args:
      result: of a run that has such candidates.
      path: of the picture.
    """
    shown, names = layout(result), candidates(result)
    size = 1 + 4.2 * len(names), 8
    figure = matplotlib.figure.Figure(size, layout="constrained")
    panels = figure.subplots(3, len(names), squeeze=False, sharex=True, sharey="row")
    for column, name in zip(panels.T, names, strict=True):
        curves = {
            key: np.asarray(values, float).mean(axis=1)
            for key, values in result[shown.reports][name]["curves"].items()
        }
        _draw_coefficients(column[0], curves)
        _draw_lines(column[1], curves, _SHARES)
        _draw_lines(column[2], curves, _NORMS)
        column[0].set_title(name)
        column[2].set_xlabel(shown.time)
        column[2].xaxis.get_major_locator().set_params(integer=True)
    for axes, label in zip(panels[:, 0], ("coefficient", "share", "norm"), strict=True):
        axes.set_ylabel(label)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="small")
    if any(np.any(line.get_ydata() > 0) for line in panels[2, 0].get_lines()):
        panels[2, 0].set_yscale("log")
    write_with(path, lambda file: figure.savefig(file, dpi=120, format="png"))


def _draw_coefficients(axes: Any, curves: dict[str, np.ndarray]) -> None:
    mean, deviation, median = (curves[key] for key in _NEEDED)
    low, high = (curves[key] for key in _BOUNDS)
    epochs = np.arange(1, len(mean) + 1)
    axes.fill_between(epochs, low, high, color="C0", alpha=0.12, label="all")
    axes.fill_between(
        epochs,
        np.maximum(mean - deviation, low),
        np.minimum(mean + deviation, high),
        color="C0",
        alpha=0.25,
        label="a deviation",
    )
    axes.plot(epochs, mean, color="C0", label="mean")
    axes.plot(epochs, median, color="C1", linestyle="--", label="median")
    axes.grid(alpha=0.3)


def _draw_lines(axes: Any, curves: dict[str, np.ndarray], lines: Any) -> None:
    for key, label in lines:
        if key in curves:
            axes.plot(np.arange(1, len(curves[key]) + 1), curves[key], label=label)
    axes.grid(alpha=0.3)
