"""One picture of what the doctor has found."""

from typing import Any

import numpy as np

from neat_optax.advice import Diagnosis
from neat_optax.plot import _figures
from neat_optax.plot._front import draw_front
from neat_optax.plot._layers import draw_norms
from neat_optax.plot._pairs import draw_conflict, draw_cosines

WINDOW = 10
"""Of steps, over which losses are averaged."""


def diagnosis(found: Diagnosis) -> Any:
    """A diagnosis in one picture.

    Cosines of all pairs and over time; conflict beside its noise; lengths by array; the
    losses of the probe, against each other where there are two; the trial, or without
    one what candidates cost.

    Args:
      found: what `neat_optax.doctor` returned.

    Returns:
      A `matplotlib.figure.Figure`.

    Raises:
      ImportError: without matplotlib.
    """
    figure = _figures.new_figure("diagnosis", 13.5, 7.6)
    measures = found.measures
    names = list(measures.players)
    panels = figure.subplots(2, 3)
    (pairs, time, noise), (layers, losses, trial) = panels
    draw_conflict(pairs, measures.plain.cosines, names, "cosines, mean over steps")
    if draw_cosines(time, found.cosines, names):
        _figures.legend_inside(time)
    time.set_title("cosines over the probe")
    _draw_noise(noise, found)
    lengths = {path: row for path, (_, row) in measures.layers.items()}
    draw_norms(layers, lengths, names)
    if len(names) == 2:  # with more of them the losses have the same colors
        _figures.legend_inside(layers)
    layers.set_title("lengths by array")
    _draw_losses(losses, found)
    if measures.trial is None:
        _draw_costs(trial, found)
    else:
        _draw_trial(trial, found)
    figure.suptitle(f"recommendation: {found.recommendation.method}")
    return figure


def _draw_noise(axes: Any, found: Diagnosis) -> None:
    measures = found.measures
    rows = [("pairs, one batch", "conflict", "C3")]
    if measures.sampled:
        rows += [
            ("pairs, two batches", "between", "C3"),
            ("a player and itself", "within", _figures.QUIET),
        ]
    places = np.arange(len(rows))
    for shift, geometry, pale in (
        (-0.2, measures.plain, 1.0),
        (0.2, measures.metric, 0.45),
    ):
        shares = [100 * getattr(geometry, field) for _, field, _ in rows]
        colors = [color for _, _, color in rows]
        bars = axes.barh(places + shift, shares, 0.36, color=colors, alpha=pale)
        axes.bar_label(bars, fmt="%.0f %%", padding=3, fontsize="small")
    axes.set_yticks(places, [label for label, _, _ in rows])
    axes.set_xlim(0, 119)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.invert_yaxis()
    axes.set_xlabel("opposed, % (pale: Adam's metric)")
    axes.set_title("conflict beside its noise" if measures.sampled else "conflict")
    _figures.without_frame(axes)


def _draw_losses(axes: Any, found: Diagnosis) -> None:
    names = found.measures.players
    width = min(WINDOW, len(found.losses))
    steps, losses = _figures.smooth(found.losses, width)
    if len(names) == 2:
        draw_front(axes, {"probe": losses}, None, (names[0], names[1]))
    else:
        few = len(names) <= 10
        for number, name in enumerate(names):
            style = {"label": name} if few else {"color": "C0", "alpha": 0.4}
            axes.plot(steps, losses[:, number], linewidth=1.2, **style)
        if (losses > 0).all():
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        if few:
            _figures.legend_inside(axes)
        _figures.without_frame(axes)
    axes.set_title(f"losses along the probe, means of {width} steps")


def _draw_trial(axes: Any, found: Diagnosis) -> None:
    trial = found.measures.trial or {}
    names = sorted(trial, key=lambda name: trial[name].difference.mean)
    axes.axvline(0, color=_figures.QUIET, linewidth=0.8)
    for place, name in enumerate(names):
        mean, low, high = trial[name].difference
        color = "C2" if high < 0 else "C3" if low > 0 else _figures.QUIET
        axes.plot([low, high], [place, place], color=color, linewidth=2)
        axes.plot(mean, place, "o", color=color, markersize=5)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("log loss less the mean's; left: better")
    axes.set_title("trial, against the mean")
    _figures.without_frame(axes)


def _draw_costs(axes: Any, found: Diagnosis) -> None:
    costs = found.measures.costs
    places = np.arange(len(costs))
    for shift, field, color in ((-0.2, "time", "C0"), (0.2, "memory", "C1")):
        values = [getattr(cost, field) for cost in costs.values()]
        bars = axes.barh(places + shift, values, 0.36, color=color, label=field)
        axes.bar_label(bars, fmt="%.2g", padding=3, fontsize="small")
    axes.set_yticks(places, list(costs))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("times a step with the mean")
    axes.legend(frameon=False, fontsize="small")
    axes.set_title("cost of a step")
    _figures.without_frame(axes)
