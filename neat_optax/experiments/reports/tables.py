"""Tables for other programs: the numbers of runs as CSV."""

import csv
import io
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from neat_optax.experiments.reports.statistics import interval
from neat_optax.experiments.runs.files import write_text
from neat_optax.experiments.runs.reading import SEARCH, Measure, Run


class Summary(NamedTuple):
    """What one candidate of a run has come to."""

    candidate: str
    run: str
    dataset: str  # or the task of a search
    learning_rate: float  # nan for a search
    seeds: int
    epochs: int  # of a search, generations
    measure: str
    mean: float
    low: float
    high: float


def summaries(runs: Sequence[Run]) -> list[Summary]:
    """A row for each candidate of each run; those of one name follow one another."""
    rows = [row for run in runs for row in _summaries(run)]
    names = list(dict.fromkeys(row.candidate for row in rows))
    return sorted(rows, key=lambda row: names.index(row.candidate))


def _summaries(run: Run) -> Iterator[Summary]:
    for name, report in run.reports.items():
        yield Summary(
            name,
            run.name,
            run.config["dataset"],
            report["learning_rate"],
            len(report["test_accuracy"]),
            run.config["epochs"],
            "test_accuracy",
            *report["test_accuracy_interval"],
        )
    searches: list[dict[str, Any]] = run.result.get("runs", [])
    if searches:
        found = interval([one["test"] for one in searches])
        place = SEARCH, run.name, run.config["task"], math.nan, len(searches)
        generations = run.config["generations"]
        yield Summary(*place, generations, f"test {run.result['monitor']}", *found)


def write_measures(runs: Sequence[Run], file: pathlib.Path) -> None:
    """All numbers of runs in long form, with the names of `Measure` as columns.

    Args:
      runs: each as `read_run` reads it.
      file: whoever reads it sees all of it or nothing.
    """
    write([row for run in runs for row in run.measures()], file, Measure._fields)


def write(
    rows: Sequence[Any],
    file: pathlib.Path,
    columns: Sequence[str] = Summary._fields,
) -> None:
    """Writes named tuples as CSV.

    Args:
      rows: of the same kind.
      file: whoever reads it sees all of it or nothing.
      columns: the names of their fields.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(file, text.getvalue())
