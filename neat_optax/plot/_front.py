"""Two losses against each other: paths of trainings, and the front."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from neat_optax.plot import _figures


def front(
    losses: Mapping[str, Any],
    points: Any = None,
    *,
    names: tuple[str, str] = ("first loss", "second loss"),
) -> Any:
    """Where trainings went in the plane of two losses.

    Args:
      losses: from the name of a method to the losses [T, 2] along its training; the end
        has a dot.
      points: [M, 2] of the Pareto front, if it is known; drawn in their order by the
        first loss.
      names: of the two losses.

    Returns:
      A `matplotlib.figure.Figure`.

    Raises:
      ImportError: without matplotlib.
      ValueError: if losses are not of two players.
    """
    figure = _figures.new_figure("front", 5.2, 4.4)
    draw_front(figure.subplots(), losses, points, names)
    return figure


def draw_front(
    axes: Any, losses: Mapping[str, Any], points: Any, names: tuple[str, str]
) -> None:
    """Draws paths, and below them the front."""
    if points is not None:
        known = _of_two("points", points)
        known = known[np.argsort(known[:, 0])]
        style = {"color": _figures.QUIET, "linewidth": 3, "label": "Pareto front"}
        axes.plot(known[:, 0], known[:, 1], **style)
    for method, path in losses.items():
        known = _of_two("losses", path)
        (line,) = axes.plot(known[:, 0], known[:, 1], linewidth=1.2, label=method)
        axes.plot(*known[-1], "o", color=line.get_color(), markersize=5)
    if losses or points is not None:
        axes.legend(frameon=False, fontsize="small")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    _figures.without_frame(axes)


def _of_two(name: str, values: Any) -> np.ndarray:
    found = np.asarray(values, float)
    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise ValueError(
            f"`{name}` must be of two players, in the shape [T, 2], got {found.shape}."
        )
    return found
