"""Tables for other programs: the numbers of runs as CSV."""

import csv
import io
import pathlib
from collections.abc import Sequence

from neat_optax.experiments.runs.files import write_text
from neat_optax.experiments.runs.reading import Measure, Run


def write_measures(runs: Sequence[Run], file: pathlib.Path) -> None:
    """All numbers of runs in long form, with the names of `Measure` as columns.

    Args:
      runs: each as `read_run` reads it.
      file: whoever reads it sees all of it or nothing.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Measure._fields)
    for run in runs:
        writer.writerows(run.measures())
    write_text(file, text.getvalue())
