import csv
import json

import numpy as np
import pytest

from experiments.made_results import make_pruning_result, make_result
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.runs.writing import plain


def write(folder, result):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(result["config"]))
    (folder / "result.json").write_text(json.dumps(plain(result)))
    return str(folder)


SEARCH = {
    "config": {"task": "sum", "generations": 40},
    "monitor": "minus the sum",
    "runs": [
        {"seed": seed, "test": test, "history": {}}
        for seed, test in enumerate((-1, -3))
    ],
}


@pytest.fixture
def runs(tmp_path):
    made = {"a": make_result(), "b": make_result(), "c": make_pruning_result()}
    made["b"]["optimizers"]["neat"]["test_accuracy"] = [0.91, 0.93]
    return [write(tmp_path / name, x) for name, x in (made | {"d": SEARCH}).items()]


def test_results_of_one_name_stand_together(runs, tmp_path, capsys):
    file = tmp_path / "all.csv"
    assert main(["report", *runs, "--csv", str(file)]) == 0
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["candidate"], row["run"]) for row in rows[:4]] == [
        ("neat", "a"),
        ("neat", "b"),
        ("control", "a"),
        ("control", "b"),
    ]
    assert rows[0] == {
        "candidate": "neat",
        "run": "a",
        "dataset": "digits",
        "learning_rate": "0.2",
        "seeds": "2",
        "epochs": "3",
        "measure": "test_accuracy",
        "mean": "0.9",
        "low": "0.89",
        "high": "0.91",
        "against": "",
        "difference": "nan",
        "difference_low": "nan",
        "difference_high": "nan",
    }
    assert (rows[1]["run"], rows[1]["against"]) == ("b", "a")
    # 0.91 and 0.93 less 0.89 and 0.91
    np.testing.assert_allclose(float(rows[1]["difference"]), 0.02, rtol=1e-9)
    last = rows[-1]
    assert (last["candidate"], last["dataset"], last["epochs"]) == (
        "search",
        "sum",
        "40",
    )
    assert (last["measure"], last["mean"]) == ("test minus the sum", "-2.0")
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].startswith("two seeds say next to nothing")
    assert printed[0].split() == list(rows[0])
    shown = "neat a digits 0.2 2 3 test_accuracy 0.9 0.89 0.91"
    assert shown.split() in [line.split() for line in printed]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("nothing", "`run` must be the folder of a run, got nothing."),
        ("--csv made.csv", "`csv` must be a new file, got made.csv."),
        ("--picture made.csv", "`picture` must be a new file, got made.csv."),
    ],
)
def test_what_cannot_be_compared_gives_one_line(
    more, message, runs, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.csv").write_text("mine")
    assert main(["report", *runs, *more.split()]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"neat-optax: error: {message}\n"
    assert not printed.out
    assert (tmp_path / "made.csv").read_text() == "mine"


@pytest.mark.parametrize("name", ["report", "compare"])
def test_a_run_is_needed(name, capsys):
    assert main([name]) == 2
    assert "`run` must be given at least once" in capsys.readouterr().err


def test_a_folder_stands_for_the_runs_that_are_finished(runs, tmp_path, capsys):
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "config.json").write_text('{"dataset": "wine"}')
    picture = tmp_path / "all.png"
    assert main(["report", str(tmp_path), "--picture", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert main(["report", *runs]) == 0
    assert printed == f"{capsys.readouterr().out}written to {picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["report", str(begun)]) == 2
    assert "`run` must be finished" in capsys.readouterr().err
