"""Which runs a folder holds, and how far each has come."""

import datetime
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from neat_optax.experiments.runs.reading import (
    CONFIG,
    KINDS,
    RESULT,
    SEARCH,
    Run,
    read_config,
    read_run,
)

METRICS = "metrics.jsonl"
_COMMANDS = {"study": "bench", "task": "evolve"}
_SUBJECTS = {"bench": "study", "evolve": "task", "train": "dataset"}
_SCORE = "validation_accuracy"


class Listed(NamedTuple):
    """What is said of a run."""

    run: str
    command: str
    subject: str  # the data set or the task
    started: str
    state: str  # finished, unfinished or damaged
    epochs: int  # behind it, over all candidates
    best: str  # the candidate
    score: float | None


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folder itself if it is that of a run, or the runs in it and in its folders.

    Args:
      folder: of runs.
    """
    if (folder / CONFIG).is_file():
        return [folder]
    files = [*folder.glob(f"*/{CONFIG}"), *folder.glob(f"*/*/{CONFIG}")]
    return sorted(file.parent for file in files)


def is_finished(path: pathlib.Path) -> bool:
    """Whether a run has its result."""
    return (path / RESULT).is_file()


def describe(path: pathlib.Path, root: pathlib.Path) -> Listed:
    """How far a run has come; one with damaged files is said to have those.

    Args:
      path: of the run.
      root: what its name is relative to.
    """
    name = str(path.relative_to(root)) if path != root else path.name
    begun = datetime.datetime.fromtimestamp((path / CONFIG).stat().st_mtime)
    started = begun.isoformat(" ", "seconds")
    try:
        config = read_config(path)
        state = "finished" if is_finished(path) else "unfinished"
        rows = _rows(path / METRICS)
        if "study" in config:
            best = "", None  # whose control and score are its own
        else:
            done = is_finished(path)
            best = _best_result(read_run(path)) if done else _best_row(rows)
    except ValueError:
        return Listed(name, "", "", started, "damaged", 0, "", None)
    command = next((x for key, x in _COMMANDS.items() if key in config), "train")
    subject = str(config.get(_SUBJECTS[command], ""))
    return Listed(name, command, subject, started, state, len(rows), *best)


def _rows(file: pathlib.Path) -> list[dict[str, Any]]:
    """The whole lines of a file: a killed process may have left half of one."""
    rows = []
    for line in file.read_bytes().splitlines() if file.is_file() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _best_result(run: Run) -> tuple[str, float | None]:
    means = {
        name: float(np.mean(report["test_accuracy"]))
        for name, report in run.reports.items()
    }
    if searched := run.result.get("runs"):
        means = {SEARCH: float(np.mean([one["test"] for one in searched]))}
    return max(means.items(), key=lambda item: item[1], default=("", None))


def _best_row(rows: list[dict[str, Any]]) -> tuple[str, float | None]:
    last = {str(row[kind]): row for row in rows for kind in KINDS if kind in row}
    means = {
        name: float(np.max(np.mean(np.asarray(row[_SCORE], float), axis=1)))
        for name, row in last.items()
        if _SCORE in row
    }
    return max(means.items(), key=lambda item: item[1], default=("", None))
