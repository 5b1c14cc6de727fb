import json
import os
import signal

import pytest

from experiments import made_training
from neat_optax.experiments.commands import cli
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.runs import experiment
from neat_optax.experiments.runs.files import RunFolder


def parse(line):
    return cli._parse(line.split())[1]


def begin(root, name, config, age=0):
    with RunFolder(str(root), name, config) as folder:
        file = folder.path / "config.json"
    time = file.stat().st_mtime_ns - age * 10**9
    os.utime(file, ns=(time, time))
    return folder.path


TRAIN = {
    "dataset": "wine",
    "optimizers": ("adam:0.001", "sgd"),
    "epochs": 7,
    "learning_rate": None,
    "neuroplastic": {"maximum": 3.0},
    "rates": {"adam": 0.001},
}


def test_the_latest_is_the_unfinished_run_that_was_started_last(tmp_path):
    begin(tmp_path, "older", TRAIN, age=60)
    begin(tmp_path, "latest-1", TRAIN, age=30)
    begin(tmp_path, "search", {"task": "sum", "generations": 9, "reevaluate": False})
    (begin(tmp_path, "done", TRAIN) / "result.json").write_text("{}")
    (tmp_path / "notes").mkdir()
    found = parse(f"train --resume latest --output {tmp_path}")
    assert found.name == "latest-1"
    assert found.optimizers == ("adam:0.001", "sgd")
    assert (found.dataset, found.epochs, found.seeds) == ("wine", 7, 5)
    assert found.neuroplastic == {"maximum": 3.0}
    older = parse(f"train --output {tmp_path} --resume older --checkpoint-every 2")
    assert (older.name, older.checkpoint_every) == ("older", 2)
    search = parse(f"evolve --resume latest --output {tmp_path}")
    assert (search.name, search.task, search.generations) == ("search", "sum", 9)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "--resume latest",
            "`resume` must name an unfinished run of this command, got latest, and ",
        ),
        ("--resume x", "`resume` must be latest or the name of an unfinished run"),
        ("--resume latest --name x", "`name` must be left out with resume, got x."),
        ("--resume x --config a.toml", "`config` must be left out with resume, got a."),
    ],
)
def test_what_cannot_go_on_gives_one_line(line, message, tmp_path, capsys):
    assert main([*f"train {line} --output".split(), str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_damaged_options_are_named(tmp_path, capsys):
    (begin(tmp_path, "mine", TRAIN) / "config.json").write_bytes(b"\xff\xfe\xff")
    assert main(["train", "--resume", "mine", "--output", str(tmp_path)]) == 2
    assert "mine/config.json" in capsys.readouterr().err


def test_a_stopped_run_goes_on_with_its_options(tmp_path, capsys, monkeypatch):
    made_training.install(monkeypatch)
    options = (
        "--dataset wine --epochs 4 --seeds 2 --batch-size 32 --optimizer adam:0.01"
    )
    save = RunFolder.save

    def interrupted(self, *rest):
        save(self, *rest)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(experiment, "CHECKPOINT_EVERY", 2)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", interrupted)
        assert main([*f"train {options} --output".split(), str(tmp_path)]) == 130
    resume = ["train", "--output", str(tmp_path), "--resume", "latest"]
    assert main([*resume, "--seeds", "3"]) == 2
    assert "`seeds` must be 2 to continue" in capsys.readouterr().err
    assert main(resume) == 0
    result = json.loads((tmp_path / "wine-1" / "result.json").read_text())
    assert result["optimizers"]["adam"]["learning_rate"] == 0.01
    assert len(result["optimizers"]["adam"]["curves"]["loss"]) == 4
    assert main(resume) == 2
