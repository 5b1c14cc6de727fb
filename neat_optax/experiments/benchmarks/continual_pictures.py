"""Pictures of the benchmark of continual learning: measures over time."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from neat_optax.experiments.benchmarks.comparing import in_order
from neat_optax.experiments.benchmarks.study import Score
from neat_optax.experiments.runs.writing import write_with

STUDY = "permuted"
SHOWN = 4
"""How many of the best methods are drawn beside the controls."""
PANELS = {
    "accuracy": "online accuracy",
    "dormant": "share of dormant units",
    "effective_rank": "effective rank of the features",
    "weight_norm": "norm of the weights",
    "gradient_norm": "norm of the gradient",
}


def draw(result: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Draws accuracy and measures over the tasks: the controls, and the best methods.

    Args:
      result: of the benchmark.
      folder: gets `bench_continual_time.png`.
    """
    import matplotlib.figure  # takes time to load

    study = result["studies"].get(STUDY)
    if study is None:
        return
    figure = matplotlib.figure.Figure((13, 6.5), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    names = selected(study)
    for axes, (key, title) in zip(panels, PANELS.items(), strict=False):
        for name in names:
            curve = np.asarray(study["methods"][name]["curves"][key], float)
            axes.plot(_tasks(study, len(curve)), _smooth(curve), label=name)
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("task")
        axes.grid(alpha=0.3)
    panels[-1].set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].legend(handles, labels, loc="center", fontsize="small")
    path = folder / "bench_continual_time.png"
    write_with(path, lambda file: figure.savefig(file, dpi=90, format="png"))


def selected(study: Mapping[str, Any]) -> list[str]:
    """The controls, and the best of the other methods."""
    means = {name: x["mean"] for name, x in study["methods"].items()}
    known = {name: np.nan if x is None else x for name, x in means.items()}
    ranked = in_order(known, Score(**study["score"]))
    rest = [name for name in ranked if name not in study["controls"]]
    return [*study["controls"], *rest[:SHOWN]]


def _tasks(study: Mapping[str, Any], points: int) -> np.ndarray:
    return np.linspace(0, study["options"]["num_epochs"], points + 1)[1:]


def _smooth(curve: np.ndarray, window: int = 5) -> np.ndarray:
    """Means over neighboring tasks, fewer at the ends."""
    half = min(window // 2, len(curve) // 2)
    near = (curve[max(0, i - half) : i + half + 1] for i in range(len(curve)))
    return np.array([np.mean(x) for x in near])
