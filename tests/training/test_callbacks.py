"""What callbacks are told, and what they write down."""

import csv
import io
import json

import pytest
from rich.console import Console

import event_files
from neat_optax import training

ROWS = [
    {"epoch": i, "loss": loss, "val_loss": 2 * loss}
    for i, loss in enumerate([3.0, 1.0, 2.0, 2.0, 0.5])
]


def play(callback, rows=ROWS, before=0):
    """What `fit` calls: epochs until one stops the run; the number of those."""
    run = training.Run(len(ROWS), 4, None, rows[:before])
    callback.on_train_begin(run)
    for row in rows[before:]:
        if run.stop:
            break
        logs = {name: value for name, value in row.items() if name != "epoch"}
        callback.on_epoch_end(row["epoch"], logs)
        run.rows.append(row)
    callback.on_train_end()
    return len(run.rows)


@pytest.mark.parametrize(
    ("patience", "mode", "delta", "epochs"),
    [(0, "min", 0.0, 3), (1, "min", 0.0, 4), (2, "min", 0.0, 5), (0, "max", 0.0, 2)],
)
@pytest.mark.parametrize("before", [0, 1])
def test_early_stopping_waits_also_over_a_resumption(
    patience, mode, delta, epochs, before
):
    stop = training.EarlyStopping("loss", patience, mode=mode, min_delta=delta)
    assert play(stop, before=before) == epochs


def test_early_stopping_asks_for_more_than_delta():
    assert play(training.EarlyStopping("loss", 0, min_delta=2.5)) == 2


def test_early_stopping_needs_its_metric():
    with pytest.raises(ValueError, match="`monitor` must be in the logs, loss, val_lo"):
        play(training.EarlyStopping("accuracy"))


def test_a_value_that_is_not_a_number_is_never_better():
    rows = [{"epoch": i, "loss": float("nan")} for i in range(5)]
    assert play(training.EarlyStopping("loss", 1), rows) == 2


def test_files_hold_every_epoch_once_also_after_a_resumption(tmp_path):
    for before in (0, 2):
        play(training.CSVLogger(tmp_path / "log.csv"), before=before)
        play(training.JSONLLogger(tmp_path / "log.jsonl"), before=before)
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == ROWS
        rows = csv.DictReader(io.StringIO((tmp_path / "log.csv").read_text()))
        assert [{k: float(v) for k, v in row.items()} for row in rows] == ROWS


def test_the_bar_shows_the_logs():
    console = Console(file=io.StringIO(), width=100)
    play(training.ProgressBar(console))
    assert "5/5" in (shown := console.file.getvalue())
    assert "loss 0.5  val_loss 1" in shown


def test_curves_for_tensorboard_and_a_picture(tmp_path):
    play(training.TensorBoard(tmp_path / "events"))
    curves = event_files.written(next((tmp_path / "events").iterdir()))
    assert curves["train/loss"] == [(row["epoch"], row["loss"]) for row in ROWS]
    play(training.LearningCurves(tmp_path / "curves.svg"))
    assert "val_loss" in (tmp_path / "curves.svg").read_text()
