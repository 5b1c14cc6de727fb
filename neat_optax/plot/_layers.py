"""Lengths of the players' gradients, array by array."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neat_optax.plot import _figures

MOST = 40
"""Arrays that are drawn: the first and the last ones."""
LABELED = 10


def norms(layers: Mapping[str, Any], players: Sequence[str] | None = None) -> Any:
    """The lengths of the players' gradients in each array, on a logarithmic scale.

    Args:
      layers: from the path of an array to lengths [P].
      players: their names; numbers by default.

    Returns:
      A `matplotlib.figure.Figure`.

    Raises:
      ImportError: without matplotlib.
      ValueError: if nothing is given, or arrays differ in their players.
    """
    rows = {path: np.asarray(row, float) for path, row in layers.items()}
    if not rows or len({row.shape for row in rows.values()}) > 1:
        raise ValueError(
            "`layers` must hold lengths [P] of at least one array, got "
            f"{[row.shape for row in rows.values()]}."
        )
    figure = _figures.new_figure("norms", 6.4, 1.2 + 0.28 * min(len(rows), MOST))
    axes = figure.subplots()
    if draw_norms(axes, rows, players):
        _figures.legend_beside(axes)
    return figure


def draw_norms(
    axes: Any, rows: Mapping[str, np.ndarray], players: Sequence[str] | None
) -> bool:
    """Draws a line for each array, and a point on it for each player.

    Returns:
      Whether the players are few enough for a legend.
    """
    paths = list(rows)
    if len(paths) > MOST:
        paths = paths[: MOST // 2] + paths[-MOST // 2 :]
    table = np.stack([rows[path] for path in paths])
    names = _figures.names_of(players, table.shape[1])
    shown = np.where(table > 0, table, np.nan)
    places = np.arange(len(paths))
    known = shown[~np.isnan(shown).all(axis=1)]
    if len(known):
        drawn = ~np.isnan(shown).all(axis=1)
        low, high = np.nanmin(known, axis=1), np.nanmax(known, axis=1)
        axes.hlines(places[drawn], low, high, color=_figures.QUIET, linewidth=0.8)
        axes.set_xscale("log")
    few = len(names) <= LABELED
    for number, name in enumerate(names):
        style = {"label": name} if few else {"color": "C0", "alpha": 0.5}
        axes.plot(shown[:, number], places, "o", markersize=5, **style)
    axes.set_yticks(places, [path or "the root" for path in paths], fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel("length of the gradient")
    _figures.without_frame(axes)
    return few
