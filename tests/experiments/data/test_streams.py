import dataclasses
import json

import jax
import numpy as np
import pytest
from flax import nnx

from experiments import made_training, quick_training
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data import streams
from neat_optax.experiments.data.datasets import Split, load
from neat_optax.experiments.data.tasks import make_task
from neat_optax.experiments.runs import experiment
from neat_optax.experiments.runs.experiment import run
from neat_optax.experiments.runs.files import RunFolder

CONFIG = TrainConfig(
    dataset="wine",
    stream="permuted:3",
    optimizers=("adam", "l2-to-init", "reset-dormant"),
    epochs=2,
    seeds=2,
    batch_size=32,
    learning_rate=0.5,
)
SPLIT = Split(np.arange(12.0).reshape(3, 4), np.arange(3))


def finish(folder, config=CONFIG, tick=lambda *_: None):
    return run(config, experiment.load(config), folder, tick)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = RunFolder(str(tmp_path_factory.mktemp("runs")), "whole", {"dataset": "x"})
    with pytest.MonkeyPatch.context() as patch:
        made_training.install(patch)
        return folder, finish(folder)


def test_names():
    assert streams.parse("permuted:100") == (streams.permuted, 100)


@pytest.mark.parametrize("text", ["permuted", "permuted:1", "turned:3", "permuted:x"])
def test_other_names_are_refused(text):
    with pytest.raises(ValueError, match=f"`stream` must be permuted:TASKS.*{text}"):
        streams.parse(text)


def test_all_examples_of_a_task_are_permuted_alike():
    seen = jax.jit(streams.permuted)(jax.random.key(1), SPLIT)
    order = np.asarray(seen.x[0], int)
    assert sorted(order) == [0, 1, 2, 3]
    np.testing.assert_array_equal(seen.x, SPLIT.x[:, order])
    np.testing.assert_array_equal(seen.y, SPLIT.y)


def test_a_task_lasts_for_its_epochs_and_seeds_have_their_own():
    wide = Split(np.arange(64.0)[None], np.arange(1))
    view = jax.jit(streams.task_view("permuted:4", epochs=2))
    seen = [np.asarray(view(0, number, wide).x) for number in range(4)]
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], seen[3])
    assert not np.array_equal(seen[1], seen[2])
    assert not np.array_equal(seen[0], view(1, 0, wide).x)


def test_without_a_stream_nothing_is_viewed():
    assert streams.task_view(None, epochs=2) is None


def test_health_is_that_of_the_parameters():
    data = load("wine")
    task = make_task(data)
    blank = jax.eval_shape(lambda: task.init(nnx.Rngs(0)))
    dead = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), blank)
    found = jax.jit(streams.health(task))(dead, data.validation)
    assert (found["dormant"], found["weight_norm"]) == (1, 0)


def test_curves_go_over_tasks(done):
    for report in done[1]["optimizers"].values():
        shapes = {np.shape(rows) for rows in report["curves"].values()}
        assert shapes == {(3, 2)}
        tested = np.mean(report["curves"]["test_accuracy"], axis=0)
        np.testing.assert_allclose(report["test_accuracy"], tested)
        first, *_, last = report["curves"]["test_accuracy"]
        change = np.mean(np.subtract(last, first))
        np.testing.assert_allclose(report["late_minus_early"].mean, change)


def test_the_test_part_of_rates_not_selected_is_not_written(done):
    lines = (done[0].path / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 3 * 6
    assert not any(key.startswith("test") for row in rows for key in row)
    assert all("validation_accuracy" in row for row in rows)


def test_methods_are_held_against_adam(done):
    assert set(done[1]["differences"]) == {"l2-to-init", "reset-dormant"}


@pytest.fixture
def trained():
    with quick_training.quickly():
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("trained")
def test_a_stopped_stream_goes_on_as_if_it_had_not(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "CHECKPOINT_EVERY", 1)
    config = dataclasses.replace(CONFIG, optimizers=("reset-dormant",))
    whole = finish(RunFolder(str(tmp_path), "whole", {"dataset": "x"}), config)
    ticks = []

    def stop_in_the_fourth_epoch(name, done):
        del done
        ticks.append(name)
        if len(ticks) == 4:
            raise KeyboardInterrupt

    folder = RunFolder(str(tmp_path), "part", {"dataset": "x"})
    with pytest.raises(KeyboardInterrupt), folder:
        finish(folder, config, stop_in_the_fourth_epoch)
    resumed = finish(RunFolder(str(tmp_path), "part", {"dataset": "x"}), config)
    for results in (whole, resumed):
        assert results["optimizers"]["reset-dormant"]["curves"]["dormant"]
    curves = [x["optimizers"]["reset-dormant"]["curves"] for x in (whole, resumed)]
    assert curves[0] == curves[1]


def test_a_learner_without_a_past_finds_every_task_as_hard():
    """What is lost is plasticity, then, and not the tasks' doing."""
    data = load("digits")
    seen = jax.jit(streams.permuted)(jax.random.key(0), data.train)
    np.testing.assert_allclose(np.sort(seen.x, axis=1), np.sort(data.train.x, axis=1))
