"""Small pictures side by side: the paths of each aggregator, drawn on the front."""

import io
import pathlib
from typing import Any

import jax
import matplotlib.figure
import numpy as np
from PIL import Image

from neat_optax.experiments.benchmarks.comparing import in_order
from neat_optax.experiments.benchmarks.study import Score
from neat_optax.experiments.benchmarks.toy_objectives import Objective
from neat_optax.experiments.benchmarks.toy_running import unpack
from neat_optax.experiments.runs.writing import write_with

COLUMNS = 9
COLORS = 64
BEYOND = 0.6
"""How far beyond the front a picture reaches, as a share of it."""


def draw(study: dict[str, Any], problem: Objective, path: pathlib.Path) -> None:
    """Saves a panel for each aggregator, the one that ends nearest first.

    Args:
      study: as `carry_out` describes it.
      problem: its problem.
      path: of a PNG file.
    """
    found = study["methods"]
    score = Score(**study["score"])
    means = {
        name: np.nan if x["mean"] is None else x["mean"] for name, x in found.items()
    }
    names = in_order(means, score)
    rows = -(-len(names) // COLUMNS)
    figure = matplotlib.figure.Figure(
        (1.45 * COLUMNS, 1.55 * rows), layout="constrained"
    )
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    losses = jax.jit(jax.vmap(problem.losses))
    for axes, name in zip(panels.ravel(), names, strict=False):
        paths = _paths(found[name]["curves"], problem.starts)
        _draw_paths(axes, [np.asarray(losses(one)) for one in paths], problem)
        mark = "*" if name in study["controls"] else ""
        rate = found[name]["learning_rate"]
        axes.set_title(f"{name}{mark}, {rate:g}", fontsize=7, pad=2)
    for axes in panels.ravel()[len(names) :]:
        axes.set_axis_off()
    _frame(panels[0, 0], problem)
    figure.supxlabel("first loss", fontsize=8)
    figure.supylabel("second loss", fontsize=8)
    write_with(path, lambda file: _save(figure, file))


def _paths(curves: dict[str, Any], starts: np.ndarray) -> list[np.ndarray]:
    """Where each start has gone: [pieces + 1, 2] each."""
    kept = [unpack(curves[f"test_path_{i + 1}"]) for i in range(len(starts))]
    pairs = zip(starts, kept, strict=True)
    return [np.vstack([start, one]).astype(np.float32) for start, one in pairs]


def _draw_paths(axes: Any, paths: list[np.ndarray], problem: Objective) -> None:
    front = problem.front
    axes.plot(*front.T, "s" if len(front) == 1 else "-", color="0.75", linewidth=4)
    for number, path in enumerate(paths):
        color = f"C{number}"
        axes.plot(*path.T, color=color, linewidth=0.9)
        axes.plot(*path[0], ".", color=color, markersize=3)
        axes.plot(*path[-1], "o", color=color, markersize=3.5, markeredgecolor="black")
    axes.tick_params(labelsize=6)


def _frame(axes: Any, problem: Objective) -> None:
    """The front and what is near; paths begin outside where losses are large."""
    low, high = problem.front.min(axis=0), problem.front.max(axis=0)
    below, above = low - 0.1 * problem.unit, high + BEYOND * problem.unit
    axes.set_xlim(below[0], above[0])
    axes.set_ylim(below[1], above[1])


def _save(figure: Any, file: pathlib.Path) -> None:
    """In few colors, which take a third of the room."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80, format="png")
    image = Image.open(drawn).convert("RGB").quantize(COLORS)
    image.save(file, format="png", optimize=True)
