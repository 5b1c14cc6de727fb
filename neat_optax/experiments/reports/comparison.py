"""A picture of several runs: what each candidate did in each of them."""

import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from neat_optax.experiments.reports.tables import Summary
from neat_optax.experiments.runs.reading import Run
from neat_optax.experiments.runs.writing import write_with

_SCORE = "validation_accuracy"
_COLUMNS = 4


def draw(runs: Sequence[Run], rows: Sequence[Summary], path: pathlib.Path) -> None:
    """Saves a panel of curves for each candidate, and one of all results.

    Curves are means over seeds, with their range; results have 95 % intervals.

    Args:
      runs: of train.
      rows: their table.
      path: of a new .png file.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.reports))
    if not names:
        raise ValueError("`picture` must be of runs of neat-optax train, got none.")
    count = len(names) + 1
    columns = min(count, _COLUMNS)
    lines = -(-count // columns)
    figure = matplotlib.figure.Figure(
        (4.2 * columns, 3.4 * lines), layout="constrained"
    )
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        _draw_curves(axes, name, runs)
    _draw_results(panels[len(names)], [row for row in rows if row.candidate in names])
    for axes in panels[count:]:
        axes.set_axis_off()
    write_with(path, lambda file: figure.savefig(file, dpi=120, format="png"))


def _draw_curves(axes: Any, name: str, runs: Sequence[Run]) -> None:
    for number, run in enumerate(runs):
        if _SCORE not in run.reports.get(name, {}).get("curves", {}):
            continue
        values = np.asarray(run.reports[name]["curves"][_SCORE], float)
        epochs = np.arange(1, len(values) + 1)
        (line,) = axes.plot(
            epochs, values.mean(axis=1), label=run.name, color=f"C{number}"
        )
        low, high = values.min(axis=1), values.max(axis=1)
        axes.fill_between(
            epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0
        )
    axes.set_title(name)
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation accuracy")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _draw_results(axes: Any, rows: Sequence[Summary]) -> None:
    for place, row in enumerate(rows):
        reach = np.nan_to_num([[row.mean - row.low], [row.high - row.mean]])
        axes.errorbar([row.mean], [place], xerr=reach, marker="o", capsize=3)
    labels = [f"{row.candidate}, {row.run}" for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy")
    axes.grid(alpha=0.3)
