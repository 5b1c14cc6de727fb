"""Figures without a window, and what all pictures share."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neat_optax._showing import HINT

INK = "#333333"
QUIET = "#999999"


def new_figure(who: str, width: float, height: float) -> Any:
    """An empty `matplotlib.figure.Figure`, which belongs to no window.

    Args:
      who: whose picture it is, for an error.
      width: in inches.
      height: in inches.
    """
    try:
        from neat_optax.plot._picture import Picture
    except ImportError as error:
        raise ImportError(f"`plot.{who}` {HINT}") from error
    return Picture(figsize=(width, height), layout="constrained")


def names_of(players: Sequence[str] | None, count: int) -> list[str]:
    """Given names, or numbers.

    Raises:
      ValueError: if there is another number of names.
    """
    if players is None:
        return [str(number) for number in range(count)]
    if len(players) != count:
        raise ValueError(
            f"`players` must have a name for each of the {count} players, got "
            f"{len(players)}."
        )
    return [str(name) for name in players]


def without_frame(axes: Any) -> None:
    """Takes the upper and the right line away, and makes the others quiet."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(color=QUIET)


def legend_inside(axes: Any) -> None:
    """A legend where there is room in the axes."""
    axes.legend(frameon=True, framealpha=0.7, edgecolor="none", fontsize="small")


def legend_beside(axes: Any) -> None:
    """A legend to the right of the axes, where it covers no curve."""
    beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    axes.legend(frameon=False, fontsize="small", **beside)


def smooth(series: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps in the middle of each window, and means over it: batches differ."""
    parts = np.lib.stride_tricks.sliding_window_view(series, window, axis=0)
    return (window - 1) / 2 + np.arange(len(parts)), parts.mean(axis=-1)
