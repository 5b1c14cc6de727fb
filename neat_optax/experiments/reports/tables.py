"""Tables for other programs: the numbers of runs as CSV."""

import csv
import io
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from neat_optax.experiments.reports.statistics import interval, paired
from neat_optax.experiments.runs.reading import SEARCH, Measure, Run
from neat_optax.experiments.runs.writing import write_text


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
    against: str = ""  # the first run of this candidate, to which the difference is
    difference: float = math.nan
    difference_low: float = math.nan
    difference_high: float = math.nan


def summaries(runs: Sequence[Run]) -> list[Summary]:
    """A row for each candidate of each run; those of one name follow one another.

    Differences are paired by seed, and there are none where the seeds of two runs
    differ.
    """
    rows: list[Summary] = []
    first: dict[tuple[str, str, str], tuple[str, dict[int, float]]] = {}
    for run in runs:
        for row, values in _summaries(run):
            same = row.candidate, row.dataset, row.measure
            name, other = first.setdefault(same, (row.run, values))
            if other is not values and other.keys() == values.keys():
                found = paired(list(values.values()), [other[seed] for seed in values])
                row = row._replace(
                    against=name,
                    difference=found.mean,
                    difference_low=found.low,
                    difference_high=found.high,
                )
            rows.append(row)
    names = list(dict.fromkeys(row.candidate for row in rows))
    return sorted(rows, key=lambda row: names.index(row.candidate))


def _summaries(run: Run) -> Iterator[tuple[Summary, dict[int, float]]]:
    """Rows without differences, and their values by seed."""
    for name, report in run.reports.items():
        values = dict(enumerate(report["test_accuracy"]))
        row = Summary(
            name,
            run.name,
            run.config["dataset"],
            report["learning_rate"],
            len(values),
            run.config["epochs"],
            "test_accuracy",
            *report["test_accuracy_interval"],
        )
        yield row, values
    searches: list[dict[str, Any]] = run.result.get("runs", [])
    if searches:
        values = {one["seed"]: one["test"] for one in searches}
        found = interval(list(values.values()))
        place = SEARCH, run.name, run.config["task"], math.nan, len(searches)
        generations = run.config["generations"]
        yield (
            Summary(*place, generations, f"test {run.result['monitor']}", *found),
            values,
        )


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
