"""What the command line refuses, each in one line."""

import re
import runpy
import subprocess
import sys

import pytest

from neat_optax.experiments.commands.cli import main

QUICK = "--dataset wine --epochs 2 --seeds 2 --batch-size 32 --learning-rate 0.5"


def call(arguments, tmp_path):
    return main(["train", *arguments.split(), "--output", str(tmp_path)])


def assert_one_line(text, message):
    assert message in text
    assert len(text.strip().splitlines()) == 1


def test_a_finished_run_is_refused_with_one_line(tmp_path, capsys):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "result.json").write_text("{}")
    assert call(f"{QUICK} --name old", tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "got old")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--epochs 0", "`epochs` must be an integer >= 1, got 0."),
        ("--dataset mnists", "`dataset` must be one of"),
        ("--optimizer adamw2", "`optimizer` must be one of neat"),
        ("--optimizer neroplastic", "got neroplastic; did you mean neuroplastic?"),
        ("--dataset digit", "got digit; did you mean digits?"),
        ("--schedule cosin", "got cosin; did you mean cosine?"),
        ("--prune cubic --allocate unifrom", "unifrom; did you mean uniform?"),
        ("--fraction 0", "`fraction` must be in (0, 1], got 0.0."),
        ("--stream permuted", "`stream` must be permuted:TASKS"),
        ("--config none.toml", "`config` must be a readable file, got none.toml"),
        ("--learning-rate -1", "`learning_rate` must be in (0, inf), got -1.0."),
        ("--optimizer adam:fast", "NAME:RATE with a learning rate in (0, inf), got"),
        ("--batch-size 5000", "`batch_size` must be at most the 1077"),
        ("--players agents", "`players` must be one of examples, tasks, got agents."),
        ("--players tasks", "`dataset` must be one of several labels"),
        (
            "--aggregator upgrad",
            "left out without players, got upgrad: add --players examples or",
        ),
        ("--players examples --aggregator best", "`aggregator` must be one of mean"),
        ("--players examples --optimizer adam", "`optimizer` must be left out"),
        ("--players examples --num-players 7", "must divide the batch size, 64, got 7"),
        ("--prune lamp:0.9", "`prune` must be one of once, linear, cubic, feedback"),
        ("--prune cubic:1.5", "must have a sparsity in [0, 1), got cubic:1.5."),
        ("--prune 3:7", "`m` must divide axis -2 of every array, got 7"),
        ("--prune 2:4 --dataset wine", "got 4 for an array of shape (13, 128)"),
        ("--prune 2:4 --players examples", "`players` must be left out with pruning"),
        ("--prune 2:4 --optimizer adam", "`optimizer` must be left out with pruning"),
        ("--prune 2:4 --aggregator mean", "`aggregator` must be left out with pruning"),
        ("--score snip", "`score` must be left out without pruning, got snip."),
        ("--prune cubic --allocate all", "`allocate` must be one of uniform, erk"),
        ("--prune ste --score snip", "`score` must be magnitude or random for ste:0.5"),
    ],
)
def test_a_bad_value_gives_one_line_and_leaves_nothing(
    arguments, message, tmp_path, capsys
):
    assert call(arguments, tmp_path) == 2
    assert_one_line(capsys.readouterr().err, message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs = [", "`config` must be a readable file, got"),
        ("epoch = 3", "got epoch; did you mean epochs?"),
        ('dataset = """two\nlines"""', "`dataset` must be one of"),
        ("neuroplastic.maximum = -1", "got -1.0"),
        ("neuroplastic.maximun = 1", "got maximun; did you mean maximum?"),
        ("optimizer = []", "`optimizer` must be given at least once"),
        ("prune = []", "`prune` must be given at least once"),
        (
            "prune = '2:4'\nplayers = 'tasks'",
            "`players` must be left out with pruning",
        ),
        ("name = 'a/b'", "`name` must be the name of a folder, got 'a/b'."),
    ],
)
def test_a_bad_file_gives_one_line_and_leaves_nothing(
    content, message, tmp_path, capsys
):
    (tmp_path / "bad.toml").write_text(content)
    assert call(f"--config {tmp_path}/bad.toml", tmp_path / "runs") == 2
    assert_one_line(capsys.readouterr().err, message)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --epochs many", "parsing --epochs: .* from ['many']."),
        ("train --bogus", "Unrecognized options: --bogus"),
        ("train --seeds 2.5", "parsing --seeds: "),
        ("train --epochs", "Missing value for argument '--epochs'."),
        ("train --neuroplastic 3", "Unrecognized options: --neuroplastic, 3"),
        ("", "Expected one of {train, compact, evolve, report, bench, doctor, runs}."),
        ("compact", "RUN"),
        ("evolve --goal high", "parsing --goal: "),
    ],
)
def test_what_cannot_be_parsed_gives_one_line(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    assert stopped.value.code == 2
    line = capsys.readouterr().err
    assert re.fullmatch("neat-optax: error: [^│─]*[^│─ ]\n", line)
    assert re.search(re.escape(message).replace(r"\.\*", ".*"), line)
    assert not list(tmp_path.iterdir())


def test_a_command_that_is_close_is_named(capsys):
    assert main(["trian", "--epochs", "1"]) == 2
    known = "train, compact, evolve, report, bench, doctor, runs"
    message = f"`command` must be one of {known}, got trian"
    assert_one_line(capsys.readouterr().err, f"{message}; did you mean train?")


def test_the_package_is_a_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["neat-optax", "train", "--epochs", "0"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("neat_optax", run_name="__main__")
    assert stopped.value.code == 2
    message = "`epochs` must be an integer >= 1, got 0."
    assert_one_line(capsys.readouterr().err, message)


@pytest.mark.slow
def test_the_package_is_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "neat_optax", "train", "--epochs", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, "`epochs` must be an integer >= 1, got 0.")


def test_an_output_that_is_a_file_gives_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert call(QUICK, tmp_path / "file") == 2
    assert_one_line(capsys.readouterr().err, "`output` must be a folder, got")
