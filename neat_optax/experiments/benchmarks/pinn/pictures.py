"""Solutions, where networks miss them, and how the terms of the loss agree in time."""

import io
import pathlib
from collections.abc import Mapping
from typing import Any

import matplotlib.cm
import matplotlib.colors
import matplotlib.figure
import numpy as np
from PIL import Image

from neat_optax.experiments.benchmarks.comparing import in_order
from neat_optax.experiments.benchmarks.pinn import judging
from neat_optax.experiments.benchmarks.pinn.equations import PROBLEMS
from neat_optax.experiments.benchmarks.pinn.problem import Solution, until
from neat_optax.experiments.benchmarks.study import Score
from neat_optax.experiments.runs.writing import write_with

FILE = "bench_pinn_solutions.png"
_WIDTHS = (1, 1, 1, 1.3)


def draw(result: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Saves a row of panels for each problem of which a study is finished.

    Args:
      result: of the benchmark.
      folder: where the picture is saved.
    """
    studies = result["studies"]
    found = {name: methods_of(name, studies) for name in PROBLEMS}
    found = {name: methods for name, methods in found.items() if methods}
    if not found:
        return
    size = 11, 2.2 * len(found)
    figure = matplotlib.figure.Figure(size, layout="constrained")
    lines = figure.subplots(
        len(found), len(_WIDTHS), squeeze=False, width_ratios=_WIDTHS
    )
    for panels, (name, methods) in zip(lines, found.items(), strict=True):
        end = next(studies[x] for x in studies if x.startswith(name))["options"]["end"]
        _draw_problem(panels, name, methods, end)
    write_with(folder / FILE, lambda file: _save(figure, file))


def _save(figure: Any, file: pathlib.Path) -> None:
    """In few colors, which take a third of the room."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=75, format="png")
    image = Image.open(drawn).convert("RGB").quantize(128)
    image.save(file, format="png", optimize=True)


def methods_of(name: str, studies: Mapping[str, Any]) -> dict[str, Any]:
    """What all finished studies of a problem say of methods with a finite score."""
    names = (f"{name}-first", name, f"{name}-optimizers")  # the last one counts
    known = [studies[key] for key in names if key in studies]
    rows = {method: row for study in known for method, row in study["methods"].items()}
    return {method: row for method, row in rows.items() if row["mean"] is not None}


def ranked(methods: Mapping[str, Any], names: Any) -> list[str]:
    """Some methods, the smallest error first."""
    means = {name: methods[name]["mean"] for name in names}
    return in_order(means, Score("", "", "", larger_is_better=False))


def _draw_problem(
    panels: Any, name: str, methods: Mapping[str, Any], end: float | None
) -> None:
    problem = PROBLEMS[name] if end is None else until(PROBLEMS[name], end)
    solution = problem.reference()
    control, best = next(iter(methods)), ranked(methods, methods)[0]
    plane = _plane(solution)
    panels[0].imshow(plane.T, cmap="RdBu_r", **_frame(solution))
    panels[0].set_title("solution", fontsize=8)
    panels[0].set_ylabel(name)
    errors = {
        method: judging.read(methods[method]["kept"]["picture"][0], plane.shape)
        for method in (control, best)
    }
    top = max(float(np.max(error)) for error in errors.values())
    norm = matplotlib.colors.LogNorm(max(top, 1e-9) * 1e-3, max(top, 1e-9))
    for axes, (method, error) in zip(panels[1:3], errors.items(), strict=False):
        axes.imshow(error.T + 1e-12, norm=norm, **_frame(solution))
        mean = methods[method]["mean"]
        axes.set_title(f"error of {method} ({mean:.2g})", fontsize=8)
    scale = matplotlib.cm.ScalarMappable(norm)
    bar = panels[0].figure.colorbar(scale, ax=list(panels[1:3]), shrink=0.8)
    bar.ax.tick_params(labelsize=6)
    for axes in panels[:3]:
        axes.tick_params(labelsize=6)
        axes.locator_params(nbins=4)
    _draw_cosines(panels[3], methods, dict.fromkeys((control, best, "upgrad", "soap")))


def _frame(solution: Solution) -> dict[str, Any]:
    ends = [(float(axis[0]), float(axis[-1])) for axis in solution.axes[:2]]
    extent = (*ends[0], *ends[1])
    return {"origin": "lower", "extent": extent, "aspect": "auto"}


def _plane(solution: Solution) -> np.ndarray:
    return solution.values[judging.plane_of(solution)]


def _draw_cosines(axes: Any, methods: Mapping[str, Any], names: Any) -> None:
    for name in (x for x in names if x in methods):
        curve = methods[name]["curves"]["worst_cosine"]
        axes.plot(np.linspace(0, 1, len(curve) + 1)[1:], curve, label=name)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.set_title("worst cosine between terms, over the run", fontsize=8)
    axes.tick_params(labelsize=6)
    axes.legend(fontsize=6)
