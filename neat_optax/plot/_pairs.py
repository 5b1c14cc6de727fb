"""Cosines between players: of all pairs, and over time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neat_optax import _checks
from neat_optax.plot import _figures

WRITTEN = 8
"""Numbers are written into the squares of so many players at most."""
LABELED = 30
"""So many players have their names at the axes."""
LINES = 60
"""Pairs that are drawn as lines of their own; of more, the range is drawn."""


def conflict(cosines: Any, players: Sequence[str] | None = None) -> Any:
    """A heat map of the cosines between players; conflict is red.

    Args:
      cosines: [P, P], or [T, P, P] over steps, of which the mean is drawn.
      players: their names; numbers by default.

    Returns:
      A `matplotlib.figure.Figure`, with the method `savefig`.

    Raises:
      ImportError: without matplotlib.
      ValueError: if the array has another shape.

    Example:
      >>> import numpy as np, neat_optax as neo
      >>> figure = neo.plot.conflict(np.array([[1.0, -0.4], [-0.4, 1.0]]))
      >>> len(figure.axes)  # with the bar of colors
      2
    """
    matrix = _averaged(cosines)
    figure = _figures.new_figure("conflict", 4.6, 4.0)
    draw_conflict(figure.subplots(), matrix, players)
    return figure


def cosines(
    cosines: Any, players: Sequence[str] | None = None, *, window: int = 1
) -> Any:
    """The cosines of all pairs of players over steps.

    Args:
      cosines: [T, P, P].
      players: their names; numbers by default.
      window: what is drawn are means over so many steps, each in the middle of its
        window: cosines of single steps may jump from batch to batch.

    Returns:
      A `matplotlib.figure.Figure`.

    Raises:
      ImportError: without matplotlib.
      ValueError: if the array has another shape, or fewer steps than a window.

    Example:
      >>> import numpy as np, neat_optax as neo
      >>> jumps = np.array([[[1.0, x], [x, 1.0]] for x in (-1.0, 1.0, -1.0, 1.0)])
      >>> (axes,) = neo.plot.cosines(jumps, ["a", "b"], window=2).axes
      >>> axes.lines[1].get_ydata().tolist()  # below it a line at zero
      [0.0, 0.0, 0.0]
    """
    series = _square(cosines, 3)
    _checks.check_integer("window", window, minimum=1)
    if window > len(series):
        raise ValueError(
            f"`window` must be at most the number of steps, {len(series)}, got "
            f"{window}."
        )
    figure = _figures.new_figure("cosines", 7.4, 3.6)
    axes = figure.subplots()
    if draw_cosines(axes, series, players, window):
        _figures.legend_beside(axes)
    return figure


def draw_conflict(
    axes: Any, matrix: np.ndarray, players: Sequence[str] | None, title: str = "cosines"
) -> None:
    """Draws [P, P] into axes."""
    count = len(matrix)
    names = _figures.names_of(players, count)
    image = axes.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
    axes.figure.colorbar(image, ax=axes, shrink=0.8)
    ticks = range(count) if count <= LABELED else []
    axes.set_xticks(ticks, [names[n] for n in ticks], rotation=45, ha="right")
    axes.set_yticks(ticks, [names[n] for n in ticks])
    axes.set_title(title)
    if count > WRITTEN:
        return
    for row in range(count):
        for column in range(count):
            value = matrix[row, column]
            color = "white" if abs(value) > 0.6 else _figures.INK
            text = f"{value:.2f}"
            axes.text(column, row, text, ha="center", va="center", color=color)


def draw_cosines(
    axes: Any, series: np.ndarray, players: Sequence[str] | None, window: int = 1
) -> bool:
    """Draws [T, P, P] into axes: a line for each pair, or their range.

    Returns:
      Whether there are few enough lines for a legend.
    """
    names = _figures.names_of(players, series.shape[1])
    rows, columns = np.triu_indices(series.shape[1], 1)
    time, pairs = _figures.smooth(series[:, rows, columns], window)
    axes.axhline(0, color=_figures.QUIET, linewidth=0.8)
    if len(rows) <= LINES:
        alpha = 1.0 if len(rows) <= WRITTEN else 0.5
        for number, pair in enumerate(zip(rows, columns, strict=True)):
            label = " and ".join(names[player] for player in pair)
            axes.plot(time, pairs[:, number], label=label, alpha=alpha, linewidth=1.2)
    else:
        for low, shade in ((0, 0.15), (10, 0.2), (25, 0.3)):
            edges = np.percentile(pairs, [low, 100 - low], axis=1)
            axes.fill_between(time, *edges, color="C0", alpha=shade, linewidth=0)
        axes.plot(time, np.median(pairs, axis=1), color="C0", label="median pair")
    axes.set_xlabel("step")
    axes.set_ylabel("cosine of two players")
    axes.set_ylim(-1.05, 1.05)
    _figures.without_frame(axes)
    return len(rows) <= WRITTEN or len(rows) > LINES


def _averaged(cosines: Any) -> np.ndarray:
    found = np.asarray(cosines, float)
    return _square(found.mean(axis=0) if found.ndim == 3 else found, 2)


def _square(cosines: Any, rank: int) -> np.ndarray:
    found = np.asarray(cosines, float)
    if found.ndim != rank or found.shape[-1] != found.shape[-2]:
        shape = "[P, P]" if rank == 2 else "[T, P, P]"
        raise ValueError(f"`cosines` must have the shape {shape}, got {found.shape}.")
    return found
