"""What `neat_optax.diagnostics` returns, as one picture."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from neat_optax.plot import _figures
from neat_optax.plot._pairs import draw_conflict

MOST_ARRAYS = 30


def diagnostics(found: Mapping[str, Any]) -> Any:
    """What an optimizer has recorded: a panel for each kind of measure.

    Numbers that are shares, cosines and ratios are bars, means over the steps. What is
    known of each player has bars by player, cosines are a heat map, and measures by
    path, from `neat_optax.diagnostics(state, params)`, are a heat map of arrays.

    Args:
      found: what `neat_optax.diagnostics` returned, plain or not.

    Returns:
      A `matplotlib.figure.Figure`.

    Raises:
      ImportError: without matplotlib.
      ValueError: if there is nothing to draw.
    """
    means = {name: _field(one, "mean") for name, one in found.items()}
    numbers = {name: float(x) for name, x in means.items() if np.ndim(_bare(x)) == 0}
    rows = {name: _named(x) for name, x in means.items() if np.ndim(_bare(x)) == 1}
    squares = {name: x for name, x in means.items() if np.ndim(_bare(x)) == 2}
    layers = {name: _field(found[name], "per_leaf") for name in numbers}
    layers = {name: x for name, x in layers.items() if isinstance(x, Mapping)}
    panels: list[Any] = []
    if numbers:
        panels.append(lambda axes: _draw_bars(axes, numbers, "means over the steps"))
    panels += [
        lambda axes, name=name, row=row: _draw_bars(axes, row, name)
        for name, row in rows.items()
    ]
    panels += [
        lambda axes, name=name, x=x: draw_conflict(
            axes, np.asarray(_bare(x), float), _keys(x), name
        )
        for name, x in squares.items()
    ]
    if layers:
        panels.append(lambda axes: _draw_layers(axes, layers))
    if not panels:
        raise ValueError("`found` must hold at least one measure, got none.")
    return _arranged(panels)


def _arranged(panels: list[Any]) -> Any:
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = _figures.new_figure("diagnostics", 4.6 * columns, 3.8 * lines)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, draw in zip(grid, panels, strict=False):
        draw(axes)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return figure


def _draw_bars(axes: Any, values: Mapping[str, float], title: str) -> None:
    bars = axes.barh(list(values), list(values.values()), color="C0")
    axes.bar_label(bars, fmt="%.3g", padding=3, fontsize="small")
    axes.axvline(0, color=_figures.QUIET, linewidth=0.8)
    axes.margins(x=0.18)
    axes.invert_yaxis()
    axes.set_title(title)
    _figures.without_frame(axes)


def _draw_layers(axes: Any, layers: Mapping[str, Mapping[str, Any]]) -> None:
    """Arrays down, measures across; each measure has its own scale of colors."""
    paths = list(next(iter(layers.values())))[:MOST_ARRAYS]
    names = list(layers)
    table = np.array([[float(layers[name][path]) for name in names] for path in paths])
    size = np.abs(table).max(axis=0)
    shown = np.divide(table, size, out=np.zeros_like(table), where=size > 0)
    axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(paths)), paths, fontsize="small")
    axes.set_title("by array, over the largest")


def _field(one: Any, name: str) -> Any:
    return one[name] if isinstance(one, Mapping) else getattr(one, name)


def _bare(value: Any) -> Any:
    """A number, list or lists of lists, without names."""
    if isinstance(value, Mapping):
        return [_bare(part) for part in value.values()]
    return value


def _named(value: Any) -> dict[str, float]:
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
    return {str(name): float(part) for name, part in pairs}


def _keys(value: Any) -> list[str] | None:
    return list(value) if isinstance(value, Mapping) else None
