"""Checkpoints of runs, loaded into a program."""

import json

import numpy as np
import pytest

from experiments import made_training, quick_training
from neat_optax.experiments import load_checkpoint, read_run
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.runs import experiment
from neat_optax.experiments.runs.checkpoints import Keep
from neat_optax.experiments.runs.files import RunFolder

CONFIG = TrainConfig(
    dataset="wine",
    optimizers=("sgd", "adam:0.5"),
    epochs=4,
    seeds=2,
    batch_size=32,
    checkpoint_every=1,
)


def run_until_stopped(root):
    """Three epochs of the first optimizer; all have a checkpoint."""

    def tick(name, done):
        if (name, done) == ("sgd", 3):
            raise KeyboardInterrupt

    keep = Keep(2, best=True)
    folder = RunFolder(str(root), "x", CONFIG.settings(), keep)
    with folder, pytest.raises(KeyboardInterrupt):
        experiment.run(CONFIG, experiment.load(CONFIG), folder, tick)
    return root / "x"


@pytest.fixture
def worse_each_epoch(monkeypatch):
    made = made_training.make_trainer

    def make_trainer(*args, **options):
        trainer = made(*args, **options)

        def epoch(replicas, number):
            replicas, row = trainer.epoch(replicas, number)
            row["validation_accuracy"] = row["validation_accuracy"] / (1 + number)
            return replicas, row

        return trainer._replace(epoch=epoch)

    monkeypatch.setattr(experiment, "make_trainer", make_trainer)


@pytest.mark.usefixtures("worse_each_epoch")
def test_the_last_the_best_and_a_numbered_epoch_come_back(tmp_path):
    """Of each rate and seed: half the weight before, and rate / (2 + seed + epoch)."""
    path = run_until_stopped(tmp_path)
    tmp = "epoch_9.orbax-checkpoint-tmp"
    (unfinished := path / "checkpoints" / "sgd" / tmp).mkdir()
    grid = CONFIG.rates("sgd")
    weights = np.zeros(2)
    for epoch in range(3):
        weights = 0.5 * weights + max(grid) / (2 + np.arange(2) + epoch)
        which = {0: "best", 1: 2, 2: "latest"}[epoch]
        found = load_checkpoint(path, which, candidate="sgd")
        assert (found.candidate, found.epoch) == ("sgd", epoch + 1)
        assert found.learning_rate == max(grid)
        np.testing.assert_allclose(found.params["weight"], weights, rtol=1e-6)
        np.testing.assert_array_equal(found.opt_state["steps"], 2 * [epoch + 1])
    first = load_checkpoint(path, candidate="sgd", learning_rate=grid[0])
    np.testing.assert_allclose(
        first.params["weight"], weights * grid[0] / max(grid), rtol=1e-5
    )
    assert unfinished.exists()  # of a process that may be saving it


@pytest.mark.usefixtures("worse_each_epoch")
def test_what_is_not_there_is_named(tmp_path):
    path = run_until_stopped(tmp_path)
    for options, message in (
        ({}, "`candidate` must be one of sgd, adam for a run of several, got none"),
        ({"candidate": "sdg"}, "got sdg; did you mean sgd?"),
        ({"candidate": "adam"}, "`run` must hold a checkpoint, got none in"),
        ({"candidate": "sgd", "which": 7}, "or one of the epochs 1, 2, 3, got 7."),
        ({"candidate": "sgd", "which": "last"}, "`which` must be best, latest or one"),
        ({"candidate": "sgd", "learning_rate": 9.0}, "`learning_rate` must be one of"),
    ):
        with pytest.raises(ValueError) as error:
            load_checkpoint(path, **options)
        assert message in str(error.value)
    (path / "checkpoints" / "sgd" / "epoch_3" / "rows" / "metadata").write_text("{")
    with pytest.raises(
        ValueError, match="`run` must be one with a checkpoint that can"
    ):
        load_checkpoint(path, candidate="sgd")
    assert (path / "checkpoints" / "sgd" / "epoch_3").exists()
    (path / "config.json").write_text(json.dumps({"task": "sum"}))
    with pytest.raises(ValueError, match="`run` must be one of neat-optax train"):
        load_checkpoint(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", ["--dataset wine", "--model cnn --fraction 0.1 --learning-rate 0.003"]
)
def test_a_loaded_network_scores_what_the_run_has_reported(options, tmp_path):
    line = f"train {options} --optimizer adam --seeds 2 --epochs 3 --batch-size 32"
    with quick_training.quickly():
        assert main([*line.split(), "--name", "x", "--output", str(tmp_path)]) == 0
    finished = read_run(tmp_path / "x")
    found = load_checkpoint(finished)
    report = finished.reports["adam"]
    assert found.learning_rate == report["learning_rate"]
    x, labels = found.data.test
    for seed, accuracy in enumerate(report["test_accuracy"]):
        right = np.mean(np.argmax(found.model(seed)(x), -1) == labels)
        assert right == pytest.approx(accuracy, abs=1e-6)
    with pytest.raises(ValueError, match="`seed` must be less than the number of seed"):
        found.model(2)
