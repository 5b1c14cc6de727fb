import importlib.metadata
import json
import re
import runpy
import subprocess
import sys

import pytest

from experiments import made_training, quick_training
from neat_optax.experiments.commands import cli
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.commands.evolve_config import EvolveOptions
from neat_optax.experiments.commands.options import TrainOptions

QUICK = "--dataset wine --epochs 2 --seeds 2 --batch-size 32 --learning-rate 0.5"


def call(arguments, tmp_path):
    return main(["train", *arguments.split(), "--output", str(tmp_path)])


@pytest.fixture
def quick(monkeypatch):
    """Runs take no time: their numbers are made up."""
    made_training.install(monkeypatch)


@pytest.fixture
def trained():
    with quick_training.quickly():
        yield


def test_a_run_trains_from_end_to_end(tmp_path, capsys):
    """The only one here whose numbers are not made up, in the fast tier."""
    short = QUICK.replace("--seeds 2", "--seeds 1")
    assert call(f"{short} --name whole --optimizer control", tmp_path) == 0
    assert "control" in capsys.readouterr().out
    result = json.loads((tmp_path / "whole" / "result.json").read_text())
    first, last = result["optimizers"]["control"]["curves"]["loss"]
    assert last[0] < first[0]
    (accuracy,) = result["optimizers"]["control"]["test_accuracy"]
    assert accuracy > 0.6
    assert (tmp_path / "whole" / "curves.png").exists()


@pytest.mark.usefixtures("quick")
def test_train_writes_everything_and_says_what_happened(tmp_path, capsys):
    assert call(f"{QUICK} --name quick --optimizer neat --optimizer sgd", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "neat" in printed
    assert "neat changes the gradient by" in " ".join(printed.split())
    run = tmp_path / "quick"
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((run / "result.json").read_text())
    assert list(result["optimizers"]) == ["neat", "control", "sgd"]
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 6
    assert list((run / "tensorboard" / "neat").glob("events.out.tfevents.*"))


def test_a_finished_run_is_refused_with_one_line(tmp_path, capsys):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "result.json").write_text("{}")
    assert call(f"{QUICK} --name old", tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "got old")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--epochs 0", "`epochs` must be an integer >= 1, got 0."),
        ("--dataset mnist", "`dataset` must be one of digits"),
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
        ("--aggregator mean", "`aggregator` must be left out without players"),
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
        ('dataset = """two\nlines"""', "`dataset` must be one of digits"),
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


@pytest.mark.usefixtures("quick")
def test_the_command_line_wins_over_the_file_and_the_file_over_defaults(tmp_path):
    (tmp_path / "quick.toml").write_text(
        'dataset = "wine"\noptimizer = ["lion", "adam"]\nlearning_rate = 0.5\n'
        'epochs = 7\nseeds = 1\nbatch_size = 32\nname = "filed"\n'
    )
    given = f"--config {tmp_path}/quick.toml --epochs 1 --optimizer sgd"
    assert call(given, tmp_path) == 0
    config = json.loads((tmp_path / "filed" / "config.json").read_text())
    asked = {"dataset": "wine", "optimizers": ["sgd"], "epochs": 1, "seeds": 1}
    assert asked.items() <= config.items()
    options = "--dataset wine --optimizer sgd --learning-rate 0.5 --epochs 1 --seeds 1"
    assert call(f"{options} --batch-size 32 --name opted", tmp_path) == 0
    runs = ("filed", "opted")
    for file in ("config.json", "metrics.jsonl"):
        filed, opted = ((tmp_path / run / file).read_text() for run in runs)
        assert without_times(filed) == without_times(opted)


def without_times(text):
    return re.sub(r'"seconds": [^,}]*', "", text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --epochs many", "parsing --epochs: .* from ['many']."),
        ("train --bogus", "Unrecognized options: --bogus"),
        ("train --seeds 2.5", "parsing --seeds: "),
        ("train --epochs", "Missing value for argument '--epochs'."),
        ("train --neuroplastic 3", "Unrecognized options: --neuroplastic, 3"),
        ("", "Expected one of {train, compact, compare, evolve}."),
        ("trian", "Unrecognized options: trian"),
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


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    version = importlib.metadata.version("neat-optax")
    assert capsys.readouterr().out == f"neat-optax {version}\n"


def test_help_lists_the_optimizers_and_aggregators(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--help"])
    assert stopped.value.code == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "heavy-ball SGD" in printed
    assert "projections that harm nobody" in printed
    assert "fast at first, slower later" in printed
    assert "share of the training examples to use (default: 1.0)" in printed
    assert "(default: 20, with --players 10, with --stream 5)" in printed
    assert "--neuroplastic" not in printed
    assert "None" not in printed


def test_options_are_read_over_those_of_a_file(tmp_path):
    def read(line):
        kinds = {name: kind for name, (kind, _) in cli._commands().items()}
        return cli._parse(kinds, line.split())

    file = tmp_path / "x.toml"
    file.write_text(
        "epochs = 3\nseeds = 4\noptimizer = ['neat', 'sgd']\nprune = '2:4'\n"
        "[neuroplastic]\nmaximum = 3\n"
    )
    found = read(f"train --config {file} --seeds 2 --optimizer a --optimizer None")
    assert found == TrainOptions(
        config=str(file),
        epochs=3,
        seeds=2,
        optimizers=("a", "None"),
        prune=("2:4",),
        neuroplastic={"maximum": 3.0},
    )
    given = "--batch_size 3 --alpha 1 --prune 2:4 --prune cubic --stream permuted:5"
    assert read(f"train {given}") == TrainOptions(
        batch_size=3, alpha=1.0, prune=("2:4", "cubic"), stream="permuted:5"
    )
    for goal in ("--goal=-1e-5", "--goal -1e-5"):
        assert read(f"evolve --name=-x {goal}") == EvolveOptions(name="-x", goal=-1e-5)


PLAYERS = "--epochs 2 --seeds 2 --learning-rate 0.003 --name played"


@pytest.mark.slow
@pytest.mark.usefixtures("trained")
def test_tasks_are_trained_on_several_labels(tmp_path, capsys):
    quick = f"{PLAYERS} --players tasks --dataset yeast --batch-size 512"
    assert call(f"{quick} --aggregator mean", tmp_path) == 0
    assert "test_macro_f1: in percent, mean over labels" in " ".join(
        capsys.readouterr().out.split()
    )
    result = json.loads((tmp_path / "played" / "result.json").read_text())
    scores = {"test_accuracy", "test_macro_f1", "test_micro_f1", "test_subset_accuracy"}
    assert scores < set(result["aggregators"]["mean"])


@pytest.mark.parametrize("made_up", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_examples_are_trained_next_to_the_mean(made_up, tmp_path, capsys, request):
    request.getfixturevalue("quick" if made_up else "trained")
    quick = f"{PLAYERS} --players examples --dataset wine --batch-size 32"
    assert call(f"{quick} --aggregator pcgrad", tmp_path) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "pcgrad changes the gradient by" in printed
    run = tmp_path / "played"
    result = json.loads((run / "result.json").read_text())
    assert list(result["aggregators"]) == ["pcgrad", "mean"]
    assert result["config"]["num_players"] == 8
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((run / "tensorboard" / "mean").glob("events.out.tfevents.*"))


@pytest.mark.parametrize("made_up", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_prunings_are_trained_next_to_dense_training(
    made_up, tmp_path, capsys, request
):
    request.getfixturevalue("quick" if made_up else "trained")
    quick = f"{QUICK} --name pruned --learning-rate 0.01 --epochs 3 --seeds 1"
    assert call(f"{quick} --prune once:0.8 --allocate global", tmp_path) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "wine, global, seeds: 1" in printed
    ends = r"ends with [\d.]+ %" if made_up else r"ends with 80\.01 %"
    assert re.search(f"once:0.8 {ends} of its kernels zero", printed)
    run = tmp_path / "pruned"
    for picture in ("curves.png", "sparsity.png"):
        assert (run / picture).read_bytes().startswith(b"\x89PNG")
    result = json.loads((run / "result.json").read_text())
    assert list(result["prunings"]) == ["dense", "once:0.8"]
    assert result["config"]["granularity"] == "entries"
    (file,) = (run / "tensorboard" / "once-0.8").glob("events.out.tfevents.*")
    assert b"sparsity" in file.read_bytes()


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


def assert_one_line(text, message):
    assert message in text
    assert len(text.strip().splitlines()) == 1


def test_an_output_that_is_a_file_gives_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert call(QUICK, tmp_path / "file") == 2
    assert_one_line(capsys.readouterr().err, "`output` must be a folder, got")
