import csv
import json
import signal

import pytest

from experiments import made_training
from neat_optax.experiments.commands import sweeping
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.commands.options import TrainOptions
from neat_optax.experiments.reports import pictures
from neat_optax.experiments.runs.files import RunFolder

FILE = """
dataset = "wine"
optimizer = "adam:0.1"
epochs = 1
seeds = 2

[sweep]
batch_size = [16, 32]
alpha = [0.5]
"""
NAMES = ["batch_size=16,alpha=0.5", "batch_size=32,alpha=0.5"]


def write(tmp_path, text=FILE):
    (tmp_path / "grid.toml").write_text(text)
    return f"train --config {tmp_path}/grid.toml --output {tmp_path}/runs".split()


def test_every_combination_is_a_run_and_all_are_one_table(
    tmp_path, capsys, monkeypatch
):
    made_training.install(monkeypatch)
    monkeypatch.setattr(pictures, "draw", lambda *_: None)
    arguments = write(tmp_path)
    save, saved = RunFolder.save, []

    def interrupted(self, *rest):
        save(self, *rest)
        saved.append(self.path.name)
        if len(saved) == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", interrupted)
        assert main(arguments) == 130
    path = tmp_path / "runs" / "grid-1"
    again = (
        capsys.readouterr().out.partition("to go on: neat-optax ")[2].splitlines()[0]
    )
    assert again.endswith("--name grid-1")
    assert not (path / "sweep.csv").exists()
    assert main(again.split()) == 0
    with (path / "sweep.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["run"] for row in rows] == NAMES
    for name, size in zip(NAMES, (16, 32), strict=True):
        config = json.loads((path / name / "config.json").read_text())
        assert (config["batch_size"], config["alpha"]) == (size, 0.5)


def test_tables_and_lists_are_swept_over(tmp_path):
    text = """
    [neuroplastic]
    minimum = 0.5
    [sweep]
    optimizer = ["adam", ["sgd", "lion"]]
    neuroplastic.maximum = [2.0, 3]
    """
    write(tmp_path, text)
    asked = TrainOptions(
        config=f"{tmp_path}/grid.toml", neuroplastic={"minimum": 0.5}, seeds=3
    )
    found = sweeping.points(asked)
    assert list(found) == [
        "optimizers=adam,maximum=2.0",
        "optimizers=adam,maximum=3.0",
        "optimizers=sgd+lion,maximum=2.0",
        "optimizers=sgd+lion,maximum=3.0",
    ]
    last = found["optimizers=sgd+lion,maximum=3.0"]
    assert last.optimizers == ("sgd", "lion")
    assert last.neuroplastic == {"minimum": 0.5, "maximum": 3.0}
    assert last.seeds == 3


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        ("", "sweep.epoch = [1, 2]", "got epoch; did you mean epochs?"),
        ("", "sweep.epochs = 3", "`epochs` must be a list of values to sweep"),
        ("", "sweep.epochs = []", "`epochs` must be a list of values to sweep"),
        ("", "sweep.epochs = [1, 'x']", "`epochs` must be an integer, got 'x'."),
        ("", "sweep.epochs = [1, 0]", "`epochs` must be an integer >= 1, got 0."),
        ("", "sweep = 3", "`sweep` must be a table, got 3."),
        ("", "sweep.name = ['a']", "`key` must be one of"),
        ("", "epochs = 1\nsweep.epochs = [1]", "`epochs` must be left out where it"),
        (
            "--epochs 9",
            "sweep.epochs = [1]",
            "`epochs` must be left out where the file",
        ),
        ("--name used", "sweep.epochs = [1]", "`name` must be that of the same sweep"),
    ],
)
def test_what_cannot_be_swept_over_gives_one_line(
    line, text, message, tmp_path, capsys
):
    (tmp_path / "runs" / "used" / "mine").mkdir(parents=True)
    assert main([*write(tmp_path, text), *line.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["used"]
