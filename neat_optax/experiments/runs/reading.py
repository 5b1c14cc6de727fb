"""A finished run, read from its folder: numbers as they were, and rows for pandas."""

import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from neat_optax._damage import read_json
from neat_optax.experiments.reports.statistics import Interval

CONFIG, RESULT = "config.json", "result.json"
KINDS = ("optimizer", "aggregator", "pruning")
"""What candidates are called; a search has none."""
SEARCH = "search"
"""The name in the place of a candidate's for what has no candidates."""
_OPTION = "run"
_OF_REPORT = (
    "learning_rate",
    "learning_rates_tried",
    "curves",
    "mean_over_run",
    "test_accuracy",
    "test_accuracy_interval",
)
_OF_SEARCH = ("seed", "history", "test")


class Measure(NamedTuple):
    """One number of a run, a row of a table in long form."""

    run: str
    candidate: str  # an optimizer, an aggregator, a pruning, or the search
    learning_rate: float  # nan for a search
    seed: int
    epoch: int  # of a search, the generation
    measure: str  # its name in `result.json`
    value: float


class Run(NamedTuple):
    """A run that has its result.

    Example:
      >>> Run(pathlib.Path("runs/x"), {"dataset": "wine"}, {"optimizers": {}}).name
      'x'
    """

    path: pathlib.Path
    config: dict[str, Any]  # what was asked for
    result: dict[str, Any]  # with nan for null, and intervals as `Interval`

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.path.name

    @property
    def reports(self) -> dict[str, Any]:
        """What the result holds of each candidate; nothing of a search."""
        found = [self.result[f"{kind}s"] for kind in KINDS if f"{kind}s" in self.result]
        return found[0] if found else {}

    def measures(self) -> list[Measure]:
        """All numbers in long form, at the selected rate, for `pandas.DataFrame`.

        What stands for a whole run, as test accuracy after training does, is in the
        row of the last epoch. The epochs of a stream are the last of each task.
        """
        return [*self._of_reports(), *self._of_searches()]

    def _of_reports(self) -> Iterator[Measure]:
        each = self.config["epochs"] if self.config.get("stream") else 1
        for name, report in self.reports.items():
            curves = dict(report["curves"])
            last = max(map(len, curves.values()))
            tests = {key: x for key, x in report.items() if key.startswith("test_")}
            for key, values in tests.items():
                if key not in curves and not key.endswith("_interval"):
                    curves[key] = [values]
            for key, rows in curves.items():
                for number, row in enumerate(rows, start=1 + last - len(rows)):
                    for seed, value in enumerate(row):
                        place = (name, report["learning_rate"], seed, each * number)
                        yield Measure(self.name, *place, key, value)

    def _of_searches(self) -> Iterator[Measure]:
        for one in self.result.get("runs", ()):
            place = self.name, SEARCH, math.nan, one["seed"]
            lengths = [len(values) for values in one["history"].values()]
            for key, values in one["history"].items():
                for generation, value in enumerate(values):
                    number = math.nan if value is None else value
                    yield Measure(*place, generation, key, number)
            yield Measure(*place, max(lengths) - 1, "test", one["test"])


def read_run(path: str | os.PathLike[str]) -> Run:
    """A finished run of `neat-optax train` or `neat-optax evolve`.

    Args:
      path: its folder.

    Returns:
      A `Run`: what was asked for, what came out, and with `measures` all numbers in
      long form. `pandas.DataFrame(read_run("runs/digits-1").measures())` is a table
      with the columns of `measures.csv`.

    Raises:
      ValueError: if it is no run, is not finished, or has a file that is damaged, which
        is named.

    Example:
      >>> import json, tempfile
      >>> report = {"learning_rate": 0.1, "learning_rates_tried": [0.1],
      ...           "mean_over_run": {}, "test_accuracy": [0.9, 1.0],
      ...           "test_accuracy_interval": {"mean": 0.95, "low": 0.3, "high": 1.6},
      ...           "curves": {"loss": [[2.0, 3.0]]}}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for name, content in [
      ...         ("config.json", {"dataset": "wine", "epochs": 1}),
      ...         ("result.json", {"optimizers": {"adam": report}}),
      ...     ]:
      ...         _ = (pathlib.Path(folder) / name).write_text(json.dumps(content))
      ...     run = read_run(folder)
      >>> [(row.candidate, row.seed, row.measure, row.value) for row in run.measures()]
      [('adam', 0, 'loss', 2.0), ('adam', 1, 'loss', 3.0), \
('adam', 0, 'test_accuracy', 0.9), ('adam', 1, 'test_accuracy', 1.0)]
    """
    folder = pathlib.Path(path)
    config = read_config(folder)
    if not (folder / RESULT).is_file():
        command = "evolve" if "task" in config else "train"
        raise ValueError(
            f"`{_OPTION}` must be finished, got {folder}; neat-optax {command} with "
            f"its options and --name {folder.name} goes on with it."
        )
    result = _table(folder / RESULT)
    _check_whole(folder / RESULT, result)
    seen = {key for kind in KINDS for key in (f"{kind}s", "differences")}
    revived = {key: _revived(x) for key, x in result.items() if key in seen}
    return Run(folder, config, result | revived)


def read_config(folder: pathlib.Path) -> dict[str, Any]:
    """What a run was asked for, be it finished or not."""
    if not (folder / CONFIG).is_file():
        raise ValueError(f"`{_OPTION}` must be the folder of a run, got {folder}.")
    return _table(folder / CONFIG)


def _table(file: pathlib.Path) -> dict[str, Any]:
    found = read_json(file, _OPTION)
    if not isinstance(found, dict):
        raise ValueError(
            f"`{_OPTION}` must be one with readable files, got {file}, which holds no "
            "table."
        )
    return found


def _check_whole(file: pathlib.Path, result: dict[str, Any]) -> None:
    """Raises where a part is missing that every result has."""
    lists = [x for x in (*(f"{kind}s" for kind in KINDS), "runs") if x in result]
    if not lists:
        raise ValueError(
            f"`{_OPTION}` must be one with a whole result, got {file} without any "
            "candidates."
        )
    found, searched = result[lists[0]], lists[0] == "runs"
    members = [found]  # of another kind, if it is neither of these
    if isinstance(found, list if searched else dict):
        members = found if isinstance(found, list) else list(found.values())
    for member in members:
        for key in _OF_SEARCH if searched else _OF_REPORT:
            if not isinstance(member, dict) or key not in member:
                raise ValueError(
                    f"`{_OPTION}` must be one with a whole result, got {file} without "
                    f"{key} in {lists[0]}."
                )


def _revived(value: Any) -> Any:
    """What JSON has no way to write: nan, and intervals."""
    if isinstance(value, dict):
        items = {name: _revived(item) for name, item in value.items()}
        return Interval(**items) if items.keys() == set(Interval._fields) else items
    if isinstance(value, list):
        return [_revived(item) for item in value]
    return math.nan if value is None else value
