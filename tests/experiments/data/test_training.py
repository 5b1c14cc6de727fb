"""Networks of every kind of data, trained from files by the command line."""

import json

import numpy as np
import optax
import pytest

from experiments import idx_files, quick_training
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.data import idx
from neat_optax.experiments.data.batches import Batches
from neat_optax.experiments.data.feeding import DeviceBatches
from neat_optax.training import fit, from_function, train_step

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Images that show their label, a text that repeats, sentences of two words."""
    monkeypatch.setitem(idx.CHECKSUMS, "fashion-mnist", {})
    rng = np.random.default_rng(0)
    for part, count in (("train", 300), ("t10k", 60)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 30, (count, 28, 28))
        for label in range(3):
            images[labels == label, 9 * label : 9 * label + 9] += 200
        idx_files.write(tmp_path / f"{part}-{idx_files.IMAGES}", images)
        idx_files.write(tmp_path / f"{part}-{idx_files.LABELS}", labels)
    (tmp_path / "input.txt").write_text("to be or not " * 2500, encoding="utf-8")
    for file, count in (("train.tsv", 200), ("dev.tsv", 40)):
        lines = [f"{('bad', 'good')[i % 2]} film\t{i % 2}" for i in range(count)]
        text = "\n".join(["sentence\tlabel", *lines])
        (tmp_path / file).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        ("--dataset fashion-mnist --model cnn --optimizer adam", 0.9),
        ("--dataset digits --model resnet --fraction 0.2 --optimizer adam", 0.8),
        ("--dataset multi-fashion --players tasks --aggregator upgrad", 0.7),
        ("--dataset sst-2 --optimizer adam", 0.9),
        ("--dataset characters --optimizer adam", 0.9),
    ],
)
def test_every_kind_is_learnt(asked, least, folder):
    command = f"train {asked} --epochs 6 --seeds 1 --batch-size 20 --name x"
    place = f"--learning-rate 0.003 --data {folder} --output {folder}/runs"
    with quick_training.quickly():
        assert main(f"{command} {place}".split()) == 0
    result = json.loads((folder / "runs" / "x" / "result.json").read_text())
    reports = {**result.get("optimizers", {}), **result.get("aggregators", {})}
    for report in reports.values():
        assert report["test_accuracy"][0] >= least
    if "tasks" in asked:
        assert reports["upgrad"]["test_accuracy_2"][0] >= least


def test_fit_goes_through_batches_of_an_epoch():
    """By hand: three batches of two ones, and steps that go half the way."""
    batches = Batches(np.ones(6, np.float32), 2, seed=0)
    model = from_function(lambda params, x: params * x, np.float32(0.0))
    step = train_step(
        model, lambda model, batch: (model(batch) - 1) ** 2, optax.sgd(0.25)
    )
    state, _ = fit(step, lambda epoch: DeviceBatches(batches.of_epoch(epoch)), epochs=2)
    np.testing.assert_allclose(state.params, 1 - 0.5**6, rtol=1e-6)
