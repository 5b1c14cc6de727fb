"""What a person reads of benchmarks: tables, intervals drawn, and one page of them."""

import math
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from neat_optax.experiments.benchmarks.columns import heading
from neat_optax.experiments.benchmarks.comparing import (
    BETTER,
    WORSE,
    in_order,
    show_difference,
)
from neat_optax.experiments.benchmarks.study import Score, Table
from neat_optax.experiments.reports.statistics import Interval

COLUMNS = 3
DECADES = 300
"""A range of ratios that is wider has ticks at powers of ten only."""
WIDEST = 48
"""Letters of a line under a panel."""
_DRAWN = ("curves", "kept", "validation")
COLORS = {BETTER: "C2", WORSE: "C3"}


def slim(found: Mapping[str, Any]) -> dict[str, Any]:
    """A result without what only pictures are made of, to be kept with the code."""
    studies = {}
    for name, study in found["studies"].items():
        rows = study["methods"].items()
        methods = {
            method: {key: x for key, x in row.items() if key not in _DRAWN}
            for method, row in rows
        }
        studies[name] = {**study, "methods": methods}
    return {**found, "studies": studies}


def result(
    name: str,
    full: bool,
    about: str,
    studies: Mapping[str, Any],
    tables: Sequence[Table],
) -> dict[str, Any]:
    """The content of a benchmark's file of results."""
    return {
        "benchmark": name,
        "form": "full" if full else "small",
        "about": about,
        "studies": dict(studies),
        "tables": [table._asdict() for table in tables],
    }


def table(study: Mapping[str, Any]) -> str:
    """The table of a study in Markdown, the best method first, controls marked."""
    score = Score(**study["score"])
    costs = any(row["cost"] for row in study["methods"].values())
    head = ["method", "rate", heading(score)]
    head += [f"difference to {study['controls'][0]}", "verdict"]
    head += [*study["shown"], *(["time", "memory"] if costs else [])]
    rows = [_row(name, study, score, costs) for name in _ranked(study, score)]
    return markdown(head, rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _ranked(study: Mapping[str, Any], score: Score) -> list[str]:
    means = {name: _number(x["mean"]) for name, x in study["methods"].items()}
    return in_order(means, score)


def _row(name: str, study: Mapping[str, Any], score: Score, costs: bool) -> list[str]:
    row = study["methods"][name]
    marked = f"*{name}*" if name in study["controls"] else name
    shown = _score(row, score), difference(row, score)
    cells = [marked, f"{row['learning_rate']:g}", *shown]
    cells += [row["verdict"] or "control"]
    cells += [_measure(row["measures"].get(key)) for key in study["shown"].values()]
    if costs:
        spent = row["cost"] or {}
        cells += [_times(spent.get("time")), _times(spent.get("memory"))]
    return cells


def difference(row: Mapping[str, Any], score: Score) -> str:
    """A method's difference to the control with its interval; empty for the control."""
    found = row["difference"]
    return "" if found is None else show_difference(_interval(found), score)


def _score(row: Mapping[str, Any], score: Score) -> str:
    mean, low, high = _interval(row["interval"])
    if score.as_ratio:
        return f"{mean:.3g} [{low:.3g}, {high:.3g}]"
    return f"{100 * mean:.2f} ± {50 * (high - low):.2f}"


def _interval(found: Mapping[str, float | None]) -> Interval:
    return Interval(*(_number(found[name]) for name in Interval._fields))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _measure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def draw(result: Mapping[str, Any], path: pathlib.Path) -> None:
    """Draws the intervals of all studies of a benchmark.

    Args:
      result: of the benchmark.
      path: of a .png file.
    """
    import matplotlib.figure  # takes time to load

    from neat_optax.experiments.runs.writing import write_with

    studies = result["studies"]
    if not studies:
        return
    columns = min(COLUMNS, len(studies))
    lines = -(-len(studies) // columns)
    longest = max(len(study["methods"]) for study in studies.values())
    size = 5.0 * columns, lines * (1.4 + 0.17 * longest)
    figure = matplotlib.figure.Figure(size, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (name, study) in zip(panels, studies.items(), strict=False):
        _draw_study(axes, name, study)
    for axes in panels[len(studies) :]:
        axes.set_axis_off()
    write_with(path, lambda file: figure.savefig(file, dpi=70, format="png"))


def _draw_study(axes: Any, name: str, study: Mapping[str, Any]) -> None:
    import matplotlib.ticker

    score = Score(**study["score"])
    names = [n for n in _ranked(study, score) if study["methods"][n]["difference"]]
    scale = 1 if score.as_ratio else 100  # in points
    for place, method in enumerate(names):
        row = study["methods"][method]
        mean, low, high = (scale * x for x in _interval(row["difference"]))
        color = COLORS.get(row["verdict"], "0.5")
        axes.plot([low, high], [place, place], color=color)
        axes.plot([mean], [place], "o", color=color, markersize=3)
    axes.axvline(1.0 if score.as_ratio else 0.0, color="black", linewidth=0.8)
    if score.as_ratio:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        subs = (1, 2, 5) if high < DECADES * low else (1,)
        axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=subs))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    else:
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
    axes.set_yticks(range(len(names)), names, fontsize="x-small")
    axes.set_ylim(len(names) - 0.5, -0.5)
    kind = "ratio to" if score.as_ratio else "points above"
    better = "right" if score.larger_is_better else "left"
    axes.set_title(name)
    control = study["controls"][0]
    label = f"{score.name}, {kind} {control}; {better}: better"
    axes.set_xlabel(textwrap.fill(label, WIDEST), fontsize="small")
    axes.grid(alpha=0.3)
