"""What a run leaves when something stops it, and how the same command goes on."""

import json
import pathlib
import shutil
import signal
from collections import namedtuple
from contextlib import nullcontext as nothing

import pytest

from experiments import made_training
from neat_optax.experiments.commands import cli, train_command
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.commands.train_command import make_config
from neat_optax.experiments.reports import tables
from neat_optax.experiments.runs import experiment
from neat_optax.experiments.runs.files import RunFolder

MINE = """
dataset = "wine"
optimizer = "control"
epochs = 4
seeds = 2
batch_size = 32
learning_rate = 5e-1
name = "mine"
"""
QUICK = "--dataset wine --epochs 2 --seeds 2 --batch-size 32 --learning-rate 0.5"


def call(arguments, tmp_path):
    return main(["train", *arguments.split(), "--output", str(tmp_path)])


def assert_one_line(text, message):
    assert message in text
    assert len(text.strip().splitlines()) == 1


@pytest.fixture
def quick(monkeypatch):
    """Runs take no time: their numbers are made up."""
    made_training.install(monkeypatch)


@pytest.mark.usefixtures("quick")
def test_ctrl_c_stops_after_the_epoch_and_the_run_can_go_on(
    tmp_path, capsys, monkeypatch
):
    """Started from a file, it goes on with the same options."""
    (tmp_path / "mine.toml").write_text(MINE)
    save = RunFolder.save

    def interrupted(self, optimizer, epoch, *rest):
        save(self, optimizer, epoch, *rest)
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "CHECKPOINT_EVERY", 2)
        patch.setattr(RunFolder, "save", interrupted)
        assert call(f"--config {tmp_path}/mine.toml", tmp_path) == 130
    again = f"neat-optax train --config {tmp_path}/mine.toml --output {tmp_path}"
    said = f"stopped, with 2 epochs of control saved; to go on: {again} --name mine\n"
    assert said in capsys.readouterr().out
    assert not (tmp_path / "mine" / "result.json").exists()
    begun = (tmp_path / "mine" / "config.json").read_text()
    assert call(f"--config {tmp_path}/mine.toml --seeds 3", tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "`seeds` must be 2 to continue")
    options = f"{QUICK} --epochs 4 --optimizer control --name mine"
    assert call(options, tmp_path) == 0
    assert (tmp_path / "mine" / "config.json").read_text() == begun
    assert (tmp_path / "mine" / "result.json").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_what_is_made_of_a_result_is_made_again_by_the_same_command(
    tmp_path, capsys, monkeypatch
):
    """A disk is full while they are written."""

    def full(*_):
        raise OSError(28, "No space left on device", "measures.csv")

    command = f"{QUICK} --name mine --optimizer control"
    with monkeypatch.context() as patch:
        patch.setattr(tables, "write_measures", full)
        assert call(command, tmp_path) == 2
    printed = capsys.readouterr()
    assert_one_line(printed.err, "No space left on device: 'measures.csv'")
    assert f"to go on: neat-optax train {command} --output" in printed.out
    run = tmp_path / "mine"
    result = (run / "result.json").read_bytes()
    (run / "curves.png").unlink()
    assert call(command, tmp_path) == 0
    assert "finished before" in capsys.readouterr().out
    (curves,) = (run / "tensorboard" / "control").iterdir()
    assert b"validation_accuracy" in curves.read_bytes()
    assert (run / "curves.png").exists()
    assert (run / "measures.csv").read_text().startswith("run,candidate,")
    assert (run / "result.json").read_bytes() == result
    assert call(f"{command} --epochs 3", tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "for `epochs` 2, and 3 is asked for")


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_goes_on_when_a_full_disk_has_room_again(tmp_path, capsys, monkeypatch):
    command = f"{QUICK} --name mine --optimizer control --checkpoint-every 1"

    def usage(folder):
        saved = list(pathlib.Path(folder).glob("epoch_*"))
        return namedtuple("Usage", "free")(0 if saved else 2**30)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", usage)
        assert call(command, tmp_path) == 2
    printed = capsys.readouterr()
    assert_one_line(printed.err, "No space left on device: '")
    assert f"what is saved is kept; to go on: neat-optax train {command}" in printed.out
    run = tmp_path / "mine"
    assert call(command, tmp_path) == 0
    first, second = json.loads((run / "environment.json").read_text())
    assert first["command"] == second["command"]
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert call(command.replace("mine", "whole"), tmp_path) == 0
    found, whole = (
        json.loads((tmp_path / name / "result.json").read_text())["optimizers"]
        for name in ("mine", "whole")
    )
    assert found["control"]["curves"] == whole["control"]["curves"]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("default")
def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(tmp_path, capsys):
    command = f"{QUICK} --epochs 4 --name mine --optimizer control"
    assert call(f"{command} --checkpoint-every 1", tmp_path) == 0
    run = tmp_path / "mine"
    whole = json.loads((run / "result.json").read_text())["optimizers"]["control"]
    (run / "result.json").unlink()
    checkpoints = run / "checkpoints" / "control"
    (checkpoints / "epoch_4" / "state" / "manifest.ocdbt").write_bytes(b"")
    capsys.readouterr()
    assert call(command, tmp_path) == 0
    assert_one_line(capsys.readouterr().err, "warning: ")
    again = json.loads((run / "result.json").read_text())["optimizers"]["control"]
    assert again["curves"] == whole["curves"]
    names = sorted(path.name for path in checkpoints.iterdir())
    assert names == ["epoch_3", "epoch_4", "epoch_4.damaged-1"]


def test_a_run_that_another_process_writes_is_refused(tmp_path, capsys):
    config = make_config(cli._parse(["train", *QUICK.split()])[1])
    with RunFolder(str(tmp_path), "mine", config.settings()):
        assert call(f"{QUICK} --name mine", tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "nobody else is writing to, got")


@pytest.mark.parametrize(
    "error", [MemoryError("of 3 GB"), RuntimeError("RESOURCE_EXHAUSTED: of 3 GB")]
)
def test_what_does_not_fit_into_memory_gives_one_line(error, capsys, monkeypatch):
    def load(_):
        raise error

    monkeypatch.setattr(train_command, "load", load)
    assert main(["train"]) == 2
    assert_one_line(capsys.readouterr().err, "must fit into memory")
    error.args = ("a fault",)
    with pytest.raises(RuntimeError) if isinstance(error, RuntimeError) else nothing():
        main(["train"])
