import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments import made_training, quick_training
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data.tasks import make_task
from neat_optax.experiments.runs import experiment
from neat_optax.experiments.runs.experiment import load, run
from neat_optax.experiments.runs.files import RunFolder
from neat_optax.experiments.runs.writing import plain

CONFIG = TrainConfig(
    dataset="wine",
    optimizers=("neat", "control"),
    epochs=6,
    seeds=2,
    batch_size=32,
)


def finish(folder, config=CONFIG, tick=lambda *_: None):
    return run(config, load(config), folder, tick)


@pytest.fixture
def quick(monkeypatch):
    made_training.install(monkeypatch)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = RunFolder(str(tmp_path_factory.mktemp("runs")), "whole", {"dataset": "x"})
    with pytest.MonkeyPatch.context() as patch:
        made_training.install(patch)
        return folder, finish(folder)


@pytest.fixture(scope="module")
def compiled():
    """Finishes runs that are not made up, and share what they compile."""
    with quick_training.quickly():
        yield finish


@pytest.fixture(scope="module")
def trained(tmp_path_factory, compiled):
    """Like `done`, and not made up."""
    folder = RunFolder(str(tmp_path_factory.mktemp("runs")), "whole", {"dataset": "x"})
    return compiled(folder)


def test_result_holds_what_was_asked(done):
    folder, result = done
    written = json.loads((folder.path / "result.json").read_text())
    assert written == json.loads(json.dumps(plain(result)))
    assert set(result["optimizers"]) == {"neat", "control"}
    assert set(result["differences"]) == {"neat"}
    for report in result["optimizers"].values():
        assert len(report["test_accuracy"]) == 2
        assert len(report["curves"]["loss"]) == 6


def test_rate_is_the_best_on_validation(done):
    for report in done[1]["optimizers"].values():
        best = int(np.argmax(report["validation_accuracy_by_rate"]))
        assert report["learning_rate"] == report["learning_rates_tried"][best]


def test_difference_is_paired_by_seed(done):
    reports = done[1]["optimizers"]
    expected = np.mean(
        np.subtract(
            reports["neat"]["test_accuracy"], reports["control"]["test_accuracy"]
        )
    )
    found = done[1]["differences"]["neat"]["control"]["interval"].mean
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.slow
def test_control_corrects_nothing_but_sees_conflict(trained):
    run_means = trained["optimizers"]["control"]["mean_over_run"]
    assert run_means["correction_ratio"] == 0
    assert run_means["opposed"] > 0


def test_metrics_have_a_line_per_optimizer_and_epoch(done):
    lines = (done[0].path / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["optimizer"], row["epoch"]) for row in rows] == [
        (name, epoch) for name in ("neat", "control") for epoch in range(1, 7)
    ]


def stopped_and_resumed(config, path, at):
    """The result of a run that was stopped after so many epochs, and went on."""
    ticks = []

    def stop(*tick):
        ticks.append(tick)
        if len(ticks) == at:
            raise KeyboardInterrupt

    folder = RunFolder(str(path), "part", {"dataset": "x"})
    with pytest.raises(KeyboardInterrupt), folder:
        finish(folder, config, stop)
    return finish(RunFolder(str(path), "part", {"dataset": "x"}), config)


def assert_same_reports(found, expected):
    for name, report in expected.items():
        assert report["curves"] == found[name]["curves"]
        assert report["test_accuracy"] == found[name]["test_accuracy"]


@pytest.mark.usefixtures("quick")
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(done, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "CHECKPOINT_EVERY", 2)
    resumed = stopped_and_resumed(CONFIG, tmp_path, 5)
    assert_same_reports(resumed["optimizers"], done[1]["optimizers"])


@pytest.mark.usefixtures("quick")
def test_what_is_done_is_saved_when_a_run_is_stopped(tmp_path, monkeypatch):
    """Whatever the interval is between two checkpoints."""

    def stop(name, done):
        if (name, done) == ("control", 3):
            raise KeyboardInterrupt

    config = dataclasses.replace(CONFIG, checkpoint_every=4)
    folder = RunFolder(str(tmp_path), "part", {"dataset": "x"})
    with pytest.raises(KeyboardInterrupt), folder:
        finish(folder, config, stop)
    saved = {
        name: sorted(
            path.name for path in (folder.path / "checkpoints" / name).iterdir()
        )
        for name in config.names
    }
    assert saved == {"neat": ["epoch_4", "epoch_6"], "control": ["epoch_3"]}
    ticks = []
    monkeypatch.setattr(experiment, "CHECKPOINT_EVERY", 100)
    with RunFolder(str(tmp_path), "part", {"dataset": "x"}) as folder:
        finish(folder, CONFIG, lambda *tick: ticks.append(tick))
    assert ticks == [("neat", 6), *(("control", done) for done in (3, 4, 5, 6))]


@pytest.mark.slow
def test_a_trained_run_goes_on_as_if_it_had_not_stopped(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "CHECKPOINT_EVERY", 2)
    resumed = stopped_and_resumed(CONFIG, tmp_path, 5)
    assert_same_reports(resumed["optimizers"], trained["optimizers"])


def test_a_batch_larger_than_the_data_is_refused():
    config = TrainConfig(dataset="wine", optimizers=("adam",), batch_size=107)
    with pytest.raises(ValueError, match="`batch_size` must be at most the 106"):
        load(config)


PLAYERS = TrainConfig(
    dataset="wine",
    players="examples",
    num_players=4,
    aggregators=("mean", "pcgrad"),
    epochs=2,
    seeds=2,
    batch_size=32,
    learning_rate=0.003,
)


@pytest.mark.parametrize("materialize", [False, True])
def test_gradients_stay_factored_unless_they_are_to_be_formed(monkeypatch, materialize):
    def note(*_, factored):
        raise LookupError(factored)

    monkeypatch.setattr(experiment, "make_task", note)
    config = dataclasses.replace(PLAYERS, materialize=materialize)
    with pytest.raises(LookupError, match=str(not materialize)):
        load(config)
    assert config.settings()["materialize"] is (True if materialize else None)


@pytest.fixture(scope="module")
def played(tmp_path_factory, compiled):
    folder = RunFolder(str(tmp_path_factory.mktemp("runs")), "whole", {"dataset": "x"})
    return folder, compiled(folder, PLAYERS)


@pytest.mark.slow
def test_players_are_reported_with_their_conflicts(played):
    folder, result = played
    assert set(result["aggregators"]) == {"mean", "pcgrad"}
    assert set(result["differences"]) == {"pcgrad"}
    assert set(result["differences"]["pcgrad"]) == {"mean"}
    for report in result["aggregators"].values():
        assert len(report["test_accuracy"]) == 2
        assert 0 < report["mean_over_run"]["conflicting_pairs"] < 1
        assert report["mean_over_run"]["opposed"] > 0
        assert -1 < report["mean_over_run"]["worst_cosine"] < 1
    reports = result["aggregators"]
    assert reports["mean"]["mean_over_run"]["correction_ratio"] == 0
    assert reports["pcgrad"]["mean_over_run"]["correction_ratio"] > 0
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["aggregator"] for line in lines] == [
        *["mean"] * 2,
        *["pcgrad"] * 2,
    ]


@pytest.mark.slow
def test_formed_gradients_give_the_same_result(played, tmp_path, compiled):
    folder = RunFolder(str(tmp_path), "formed", {"dataset": "x"})
    formed = compiled(folder, dataclasses.replace(PLAYERS, materialize=True))
    for name, report in formed["aggregators"].items():
        factored = played[1]["aggregators"][name]["curves"]["loss"]
        np.testing.assert_allclose(report["curves"]["loss"], factored, rtol=1e-4)


@pytest.mark.slow
def test_players_that_were_stopped_go_on_as_if_they_had_not(
    played, tmp_path, monkeypatch
):
    """With random numbers in the aggregator's state."""
    monkeypatch.setattr(experiment, "CHECKPOINT_EVERY", 1)
    resumed = stopped_and_resumed(PLAYERS, tmp_path, 3)  # after one epoch of PCGrad
    whole = played[1]["aggregators"]["pcgrad"]
    assert whole["curves"] == resumed["aggregators"]["pcgrad"]["curves"]


PRUNED = TrainConfig(
    dataset="wine",
    prune=("cubic:0.8",),
    score="random",
    epochs=3,
    seeds=2,
    batch_size=32,
    learning_rate=0.01,
)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory, compiled):
    folder = RunFolder(str(tmp_path_factory.mktemp("runs")), "whole", {"dataset": "x"})
    return folder, compiled(folder, PRUNED)


@pytest.mark.slow
def test_prunings_are_held_against_dense_training(pruned):
    folder, result = pruned
    reports = result["prunings"]
    assert list(reports) == ["dense", "cubic:0.8"]
    assert set(result["differences"]["cubic:0.8"]) == {"dense"}
    assert reports["dense"]["at_end"]["sparsity"] == 0
    np.testing.assert_allclose(
        reports["cubic:0.8"]["at_end"]["sparsity"], 0.8, atol=1e-3
    )
    kept = (1 - reports["cubic:0.8"]["at_end"]["sparsity"]) * (
        13 * 128 + 128 * 64 + 192
    )
    nonzeros = reports["cubic:0.8"]["at_end"]["nonzeros"]
    np.testing.assert_allclose(nonzeros, kept + 128 + 64 + 3, atol=10)  # and biases
    rows = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["pruning"] == "cubic:0.8"


@pytest.mark.slow
def test_checkpoints_are_sparse(pruned):
    folder, result = pruned
    data = load(PRUNED)
    task = make_task(data)
    like = experiment.make_candidate("cubic:0.8", PRUNED, task, data).init()
    epoch, replicas, _ = folder.restore("cubic:0.8", like)
    kernels = [x for x in jax.tree.leaves(replicas.params) if x.ndim == 3]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    found = zeros / sum(kernel.size for kernel in kernels)
    assert epoch == PRUNED.epochs
    expected = result["prunings"]["cubic:0.8"]["at_end"]["sparsity"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
def test_a_pruning_that_was_stopped_goes_on_as_if_it_had_not(
    pruned, tmp_path, monkeypatch
):
    """With random masks, and a schedule over the whole run."""
    monkeypatch.setattr(experiment, "CHECKPOINT_EVERY", 1)
    resumed = stopped_and_resumed(PRUNED, tmp_path, 5)  # in the second pruned epoch
    for name, report in pruned[1]["prunings"].items():
        assert report["curves"] == resumed["prunings"][name]["curves"]


def test_groups_that_do_not_divide_a_layer_are_refused_at_once():
    config = dataclasses.replace(PRUNED, prune=("2:4",))
    with pytest.raises(ValueError, match=r"`m` must divide axis -2 .* \(13, 128\)"):
        load(config)
