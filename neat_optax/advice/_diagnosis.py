"""What the doctor returns: numbers, a recommendation, a text and JSON."""

import json
from typing import Any, NamedTuple

import numpy as np

from neat_optax.advice._costs import StepCost
from neat_optax.advice._geometry import FAINT, Geometry
from neat_optax.advice._measures import Measures
from neat_optax.advice._rules import Recommendation
from neat_optax.advice._trial import Trial

_SHOWN = 8
"""Of players and layers, at most."""
ROUNDED = 1e-6
"""Arrays whose gradients are so much shorter than others' hold rounding only, as biases
in front of a normalization do."""


class Diagnosis(NamedTuple):
    """What `neat_optax.doctor` has found. `str` makes a report of it.

    Attributes:
      measures: the numbers.
      recommendation: what they speak for.
      cosines: [T, P, P] between the players at each step of the probe.
      losses: [T, P] before each step.
    """

    measures: Measures
    recommendation: Recommendation
    cosines: np.ndarray
    losses: np.ndarray

    def to_json(self) -> str:
        """Everything as JSON; what is not finite is null."""
        return json.dumps(_plain(self), indent=1, allow_nan=False)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value


def _lines(found: Diagnosis) -> list[str]:
    measures, advice = found.measures, found.recommendation
    names = measures.players
    lines = [f"Recommendation: {advice.method}", f"  {advice.reason}", ""]
    lines.append(f"{len(names)} players, {measures.steps} steps on a copy")
    lines += [f"  {row}" for row in _players(measures)]
    lines += ["", *_conflicts(measures), *_layers(measures)]
    lines += _costs(measures.costs) + _trial(measures)
    lines += ["", "Code", *(f"  {row}" for row in advice.code.splitlines())]
    if advice.papers:
        lines += ["", "Papers", *(f"  {row}" for row in advice.papers.splitlines())]
    return lines


def _players(measures: Measures) -> list[str]:
    head = ("", "loss", "at the end", "gradient", "unrepeated", "gain of the mean")
    first, last = measures.losses
    rows = [
        (
            name,
            f"{first[i]:.3g}",
            f"{last[i]:.3g}",
            f"{measures.norms[i]:.3g}",
            f"{1 - measures.reliability[i]:.0%}" if measures.sampled else "-",
            f"{measures.plain.gain[i].mean:+.2f}",
        )
        for i, name in enumerate(measures.players[:_SHOWN])
    ]
    more = len(measures.players) - _SHOWN
    return [*_aligned([head, *rows]), *([f"and {more} more"] if more > 0 else [])]


def _conflicts(measures: Measures) -> list[str]:
    plain, metric = measures.plain, measures.metric
    names = measures.players
    return [
        f"Conflict: {plain.conflict:.0%} of the pairs are opposed on one batch"
        f"{_on_two(measures)}; {metric.conflict:.0%} in Adam's metric.",
        _noise(measures),
        f"Beyond noise {_opposed(plain)}; in Adam's metric {_opposed(metric)}.",
        f"Lengths: the longest gradient is {measures.norm_ratio:.3g} times the "
        "shortest.",
        f"The mean harms {_harmed(plain, names)}; in Adam's metric "
        f"{_harmed(metric, names)}.",
        f"Pareto stationarity: {measures.stationarity:.2f} (0 at a point where every "
        "direction harms a player).",
    ]


def _noise(measures: Measures) -> str:
    if not measures.sampled:
        return "Noise: none, as one batch is taken for all the data."
    return (
        f"Noise: {measures.plain.within:.0%} of the players are opposed to themselves "
        "on another batch."
    )


def _on_two(measures: Measures) -> str:
    return f", {measures.plain.between:.0%} on two" if measures.sampled else ""


def _opposed(geometry: Geometry) -> str:
    found, pairs = geometry.opposed_pairs
    least = geometry.expected.min()
    limit = f"below -{FAINT:g} counts"
    return f"{found} of {pairs} pairs are (least cosine {least:+.2f}; {limit})"


def _harmed(geometry: Geometry, names: tuple[str, ...]) -> str:
    who = [names[number] for number in geometry.harmed]
    if len(who) > _SHOWN:
        return f"{len(who)} players"
    return ", ".join(who) or "nobody"


def _layers(measures: Measures) -> list[str]:
    longest = max((row.max() for _, row in measures.layers.values()), default=0)
    some = [
        pair for pair in measures.layers.items() if pair[1][1].max() > ROUNDED * longest
    ]
    rows = sorted(some, key=lambda pair: -pair[1][0])[:_SHOWN]
    cells = [("", "opposed pairs", "gradients")]
    cells += [
        (path or "the root", f"{share:.0%}", _range(lengths))
        for path, (share, lengths) in rows
    ]
    return ["", "Arrays with the most conflict", *(f"  {x}" for x in _aligned(cells))]


def _range(lengths: np.ndarray) -> str:
    return f"{lengths.min():.2g} to {lengths.max():.2g}"


def _costs(costs: dict[str, StepCost]) -> list[str]:
    if not costs:
        return []
    cells = [("", "ms", "time", "memory")]
    cells += [
        (name, f"{x.milliseconds:.3g}", f"{x.time:.2f}", f"{x.memory:.2f}")
        for name, x in costs.items()
    ]
    return ["", "A step, and how many times a plain one", *_indented(cells)]


def _trial(measures: Measures) -> list[str]:
    trial = measures.trial
    if trial is None:
        return []
    few = len(measures.players) <= _SHOWN and not measures.alike
    names = measures.players if few else ()
    head = ("", "rate times", "log loss", "less the mean's", "from", "to", *names)
    cells: list[tuple[str, ...]] = [head]
    for name, one in trial.items():
        mean, low, high = (f"{x:+.3f}" for x in one.difference)
        factor = f"{one.factor:g}"
        apart = (f"{x:+.2f}" for x in (one.apart if few else ()))
        cells.append((name, factor, f"{one.score:+.3f}", mean, low, high, *apart))
    count = max(len(trial) - 1, 1)
    text = (
        "Trial: losses on held-out batches, lower is better; intervals of 95 % for "
        f"{count} at once"
    )
    return ["", text, *_indented(cells), *_at_edges(trial)]


def _at_edges(trial: dict[str, Trial]) -> list[str]:
    """Who may do better at a learning rate that was not tried."""
    lines = []
    for edge in ("largest", "smallest"):
        who = ", ".join(name for name, one in trial.items() if one.edge == edge)
        if who:
            lines.append(f"  Best at the {edge} of the rates tried: {who}.")
    return lines


def _indented(cells: list[tuple[str, ...]]) -> list[str]:
    return [f"  {row}" for row in _aligned(cells)]


def _aligned(cells: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            (str.rjust if number else str.ljust)(cell, width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
