import importlib.metadata
import json
import re

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


@pytest.mark.slow
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


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    version = importlib.metadata.version("neat-optax")
    assert capsys.readouterr().out == f"neat-optax {version}\n"


def test_the_list_of_commands_says_of_each_what_its_help_says(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, command in cli._COMMANDS.items():
        assert f"• {name} {command.about}" in printed
        assert cli._find(command.options).__doc__.startswith(command.about)


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
        return cli._parse(line.split())[1]

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


@pytest.mark.slow
@pytest.mark.parametrize("made_up", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_examples_are_trained_next_to_the_mean(made_up, tmp_path, capsys, request):
    request.getfixturevalue("quick" if made_up else "trained")
    quick = f"{PLAYERS} --players examples --dataset wine --batch-size 32"
    assert call(f"{quick} --aggregator pcgrad", tmp_path) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(r"pcgrad turns 0\.\d+ from the mean on average;", printed)
    assert " conflicting_ " in printed  # whole: where no terminal is there is room
    run = tmp_path / "played"
    result = json.loads((run / "result.json").read_text())
    assert list(result["aggregators"]) == ["pcgrad", "mean"]
    assert result["config"]["num_players"] == 8
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((run / "tensorboard" / "mean").glob("events.out.tfevents.*"))


@pytest.mark.slow
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
