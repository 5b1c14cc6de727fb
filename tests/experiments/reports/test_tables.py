import csv
import pathlib

from experiments.made_results import make_result
from neat_optax.experiments.reports.tables import write_measures
from neat_optax.experiments.runs.reading import Run


def test_measures_of_all_runs_are_in_one_table(tmp_path):
    made = make_result()
    runs = [Run(pathlib.Path(name), made["config"], made) for name in ("a", "b,c")]
    write_measures(runs, tmp_path / "measures.csv")
    with (tmp_path / "measures.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == [
        "run",
        "candidate",
        "learning_rate",
        "seed",
        "epoch",
        "measure",
        "value",
    ]
    assert {row["run"] for row in found} == {"a", "b,c"}
    assert len(found) == sum(len(run.measures()) for run in runs)
    assert float(found[0]["value"]) == runs[0].measures()[0].value
    assert not list(tmp_path.glob(".*"))
