import json
import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest

import running
from experiments import quick_training
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.runs import compacting
from neat_optax.experiments.runs.compacting import choose, compact_run, open_run

QUICK = "--dataset wine --epochs 4 --seeds 1 --batch-size 32 --learning-rate 0.01"


REPORT = {
    "learning_rate": 0.1,
    "learning_rates_tried": [0.1],
    "curves": {},
    "mean_over_run": {},
    "test_accuracy": [0.9],
    "test_accuracy_interval": {"mean": 0.9, "low": None, "high": None},
}
PRUNINGS = "--prune once:0.75 --granularity units --allocate uniform"


def train(root, more=""):
    command = f"train {QUICK} {PRUNINGS} {more} --name pruned --output"
    with quick_training.quickly():
        assert main([*command.split(), str(root)]) == 0
    return root / "pruned"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(finished, tmp_path):
    """A copy, since compacting writes into the run."""
    return open_run(shutil.copytree(finished, tmp_path / "pruned"))


def assert_units_were_cut(run, seeds):
    """And nothing else has changed; what is written can be read."""
    with running.quickly():
        report = compact_run(run, choose(run, None), "small")
    assert report["candidate"] == "once:0.75"
    assert set(report["seeds"]) == seeds
    weights = ocp.StandardCheckpointer().restore((run.path / "small").resolve())
    for seed, row in report["seeds"].items():
        assert list(row["units_before"].values()) == [128, 64]
        first, second = row["units_after"].values()
        assert (first <= 32, second <= 16) == (True, True)
        assert row["parameters_after"] < row["parameters_before"] / 3
        assert row["validation_accuracy_after"] >= row["validation_accuracy_before"]
        assert row["seconds_after"] > 0
        layers = weights[seed]["trunk"]
        kernels = [layers[name]["kernel"] for name in ("first", "second")]
        assert [x.shape[1] for x in kernels] == list(row["units_after"].values())
    before = [row["test_accuracy_before"] for row in report["seeds"].values()]
    reported = run.reports["once:0.75"]["test_accuracy"]
    np.testing.assert_allclose(before, reported, rtol=1e-6)
    written = json.loads((run.path / "small.json").read_text())
    assert written == json.loads(json.dumps(report))
    assert not list(run.path.glob(".*.tmp"))


@pytest.mark.slow
def test_units_without_weights_are_cut(run, monkeypatch):
    monkeypatch.setattr(compacting, "THRESHOLDS", (0.0,))
    assert_units_were_cut(run, {"0"})


@pytest.mark.slow
def test_units_of_all_seeds_are_cut(tmp_path):
    assert_units_were_cut(open_run(train(tmp_path, "--seeds 2")), {"0", "1"})


@pytest.mark.slow
def test_nothing_is_overwritten(run):
    (run.path / "compact.json").write_text("{}")
    with pytest.raises(ValueError, match=r"`output` must be a new name, got compact: "):
        compact_run(run, "once:0.75")
    with pytest.raises(
        ValueError, match="`output` must be a new name, got checkpoints"
    ):
        compact_run(run, "once:0.75", "checkpoints")
    with pytest.raises(ValueError, match="`output` must be the name of a folder, got"):
        compact_run(run, "once:0.75", "../elsewhere")


@pytest.mark.slow
def test_a_candidate_is_chosen_by_name_or_by_sparsity(run):
    assert choose(run, "dense") == "dense"
    assert choose(run, None) == "once:0.75"
    with pytest.raises(ValueError, match=r"`candidate` must be one of dense, .* got x"):
        choose(run, "x")


def test_a_run_of_optimizers_needs_a_name(tmp_path):
    names = ["neat", "control"]
    (tmp_path / "config.json").write_text(json.dumps({"optimizers": names}))
    result = {"optimizers": {name: REPORT for name in names}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    plain = open_run(tmp_path)
    with pytest.raises(ValueError, match="`candidate` must be one of neat, control"):
        choose(plain, None)


def test_damaged_options_are_named(tmp_path):
    result = {"optimizers": {"neat": REPORT}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    for options in ('{"optimizers": 3}', "{}", '{"dataset": "wine", "seeds": "many"}'):
        (tmp_path / "config.json").write_text(options)
        with pytest.raises(ValueError, match=r"whole options, got .*config\.json"):
            open_run(tmp_path)


@pytest.mark.slow
def test_what_is_no_finished_run_is_named(run, tmp_path):
    with pytest.raises(ValueError, match="`run` must be the folder of a run, got"):
        open_run(tmp_path / "nothing")
    for content in ("{", "{}"):
        (run.path / "result.json").write_text(content)
        with pytest.raises(ValueError, match=r"`run` must be .* got .*result\.json"):
            open_run(run.path)
    (run.path / "result.json").unlink()
    with pytest.raises(ValueError, match=r"`run` must be finished, .* --name pruned"):
        open_run(run.path)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.slow
def test_a_run_that_evolves_is_refused(finished, tmp_path):
    (tmp_path / "config.json").write_text('{"task": "digits"}')
    if finished:
        (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ValueError, match="`run` must be one of neat-optax train, got"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dataset": "yeast"}, "one label for each example, got yeast"),
        ({"model": "cnn"}, "`run` must be of the model mlp, got one of cnn"),
        ({"dataset": "sst-2"}, "`run` must be of the model mlp, got one of sst-2"),
    ],
)
def test_other_networks_are_refused(options, match, tmp_path):
    options = {"optimizers": ["neat"], **options}
    (tmp_path / "config.json").write_text(json.dumps(options))
    result = {"optimizers": {"neat": REPORT}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    run = open_run(tmp_path)
    assert choose(run, None) == "neat"
    with pytest.raises(ValueError, match=match):
        compact_run(run, "neat")


@pytest.mark.slow
def test_a_lost_checkpoint_is_named(run):
    shutil.rmtree(run.path / "checkpoints" / "once-0.75")
    with pytest.raises(ValueError, match=r"`run` must hold a checkpoint of once:0\.75"):
        compact_run(run, "once:0.75")


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_none_before_it_serves(run):
    """That before it is of another epoch than the result."""
    folder = run.path / "checkpoints" / "once-0.75"
    (folder / "epoch_4" / "state" / "manifest.ocdbt").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"can be read, got .*epoch_4, which is damaged"
    ):
        compact_run(run, "once:0.75")
    assert (folder / "epoch_4").exists()
