"""A finished run's networks without their dead units: smaller, and as good.

runs/<name>/compact/        the smaller networks' weights, an orbax checkpoint with one
                            entry for each seed
            compact.json    what was saved, written last
"""

import json
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from flax import nnx

from neat_optax import _checks
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data import networks
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_network, make_task
from neat_optax.experiments.runs import checkpoints
from neat_optax.experiments.runs.experiment import load, make_candidate
from neat_optax.experiments.runs.loading import read_options
from neat_optax.experiments.runs.reading import read_run
from neat_optax.experiments.runs.selection import at_rate
from neat_optax.experiments.runs.writing import folder_name, write_text
from neat_optax.sparsity.compaction._compact import search_compaction
from neat_optax.sparsity.compaction._median_time import latency

THRESHOLDS = (0.0, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)
"""Sizes up to which a weight may count as zero."""
BATCH = 256
"""Examples that the time is taken with, at most."""


class Finished(NamedTuple):
    """A run that has its result."""

    path: pathlib.Path
    config: TrainConfig
    result: dict[str, Any]

    @property
    def reports(self) -> dict[str, Any]:
        """What the result holds of each candidate."""
        return self.result[f"{self.config.lineup.kind}s"]


def open_run(path: pathlib.Path) -> Finished:
    """Reads a run's configuration and result."""
    config = read_options(path)
    return Finished(path, config, read_run(path).result)


def choose(run: Finished, name: str | None) -> str:
    """The candidate of that name; without one, the sparsest or the only one."""
    reports = run.reports
    if name is not None:
        _checks.check_choice("candidate", name, tuple(reports))
        return name
    if len(reports) > 1 and not run.config.prune:
        raise ValueError(
            f"`candidate` must be one of {', '.join(reports)} for a run of several "
            "that does not prune, got none."
        )
    ends = {name: report.get("at_end", {}) for name, report in reports.items()}
    return max(ends, key=lambda name: ends[name].get("sparsity", 0.0))


def compact_run(run: Finished, name: str, output: str = "compact") -> dict[str, Any]:
    """Compacts a candidate's networks of all seeds, at its selected rate, and writes.

    Thresholds are searched on validation data: a smaller network must score there what
    the whole one does. The test data are only reported.

    Args:
      run: from `open_run`.
      name: from `choose`.
      output: what is written is called so; must be new.

    Returns:
      The content of the JSON file.
    """
    if run.config.network is not networks.usual:
        raise ValueError(
            "`run` must be of the model mlp, got one of "
            f"{run.config.model or run.config.dataset}."
        )
    file, folder = _places(run.path, output)
    data = load(run.config)
    if data.num_labels > 1:
        raise ValueError(
            "`run` must be of a data set with one label for each example, got "
            f"{run.config.dataset}."
        )
    build = make_network(data)[1]
    params = _restore(run, name, data)
    seeds = range(run.config.seeds)
    found = [
        _compact_one(build(jax.tree.map(lambda x, i=seed: x[i], params)), data)
        for seed in seeds
    ]
    report = {
        "candidate": name,
        "learning_rate": run.reports[name]["learning_rate"],
        "thresholds": THRESHOLDS,
        "examples_timed": len(_timed(data)),
        "seeds": {str(seed): row for seed, (_, row) in zip(seeds, found, strict=True)},
    }
    weights = {str(seed): w for seed, (w, _) in zip(seeds, found, strict=True)}
    with ocp.StandardCheckpointer() as checkpointer:  # all of it or nothing
        checkpointer.save(folder.resolve(), weights)
    write_text(file, json.dumps(report, indent=2) + "\n")
    return report


def _places(path: pathlib.Path, output: str) -> tuple[pathlib.Path, pathlib.Path]:
    """The JSON file and the folder to write to."""
    if output in ("", "..") or output != pathlib.PurePath(output).name:
        raise ValueError(f"`output` must be the name of a folder, got {output!r}.")
    places = path / f"{output}.json", path / output
    for place in places:
        if place.exists():
            raise ValueError(
                f"`output` must be a new name, got {output}: {place} exists; give "
                "another with --output."
            )
    return places


def _restore(run: Finished, name: str, data: Data) -> Any:
    """The parameters at the selected rate, with a leading axis of seeds."""
    config, report = run.config, run.reports[name]
    task = make_task(data, config.players, config.num_players)
    trainer = make_candidate(name, config, task, data)
    folder = run.path / "checkpoints" / folder_name(name)
    restored = checkpoints.restore(folder, trainer.like(), config.num_epochs)
    if restored is None:
        raise ValueError(f"`run` must hold a checkpoint of {name}, got {run.path}.")
    best = report["learning_rates_tried"].index(report["learning_rate"])
    return trainer.served(at_rate(restored[1], best, config.seeds))


def _compact_one(model: nnx.Module, data: Data) -> tuple[Any, dict[str, Any]]:
    """The weights of the smaller network, and what has changed."""
    found = search_compaction(
        model, _timed(data), THRESHOLDS, lambda m: _accuracy(m, data.validation)
    )
    report = {
        **found.report._asdict(),
        **_measure("before", model, data),
        **_measure("after", found.model, data),
    }
    return nnx.to_pure_dict(nnx.state(found.model, nnx.Param)), report


def _measure(when: str, model: Any, data: Data) -> dict[str, float]:
    graph, state = nnx.split(model)
    seconds = latency(lambda state, x: nnx.merge(graph, state)(x), state, _timed(data))
    return {
        f"seconds_{when}": seconds,
        f"validation_accuracy_{when}": _accuracy(model, data.validation),
        f"test_accuracy_{when}": _accuracy(model, data.test),
    }


def _timed(data: Data) -> jax.Array:
    return jnp.asarray(data.validation.x[:BATCH])


def _accuracy(model: Any, split: Split) -> float:
    return float(jnp.mean(jnp.argmax(model(split.x), axis=-1) == split.y))
