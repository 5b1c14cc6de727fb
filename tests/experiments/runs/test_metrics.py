import json

from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.runs.files import RunFolder
from neat_optax.experiments.runs.metrics import Metrics

CONFIG = TrainConfig(optimizers=("adam:0.1", "sgd:0.2"), epochs=3)


def read(folder):
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    return [(x["optimizer"], x["epoch"], x["loss"]) for x in map(json.loads, lines)]


def test_lines_are_there_as_soon_as_an_epoch_is_over(tmp_path):
    with RunFolder(str(tmp_path), "mine", {"dataset": "x"}) as folder:
        metrics, rows = Metrics(folder, CONFIG), []
        metrics.begin("adam", rows)
        assert read(folder) == []
        for loss in (3, 2):
            rows.append({"loss": loss, "test_accuracy": 1})
            metrics.add()
        assert read(folder) == [("adam", 1, 3), ("adam", 2, 2)]
        metrics.begin("sgd", [{"loss": 9}])
        assert read(folder) == [("adam", 1, 3), ("adam", 2, 2), ("sgd", 1, 9)]
    assert "test" not in (folder.path / "metrics.jsonl").read_text()


def test_what_was_written_after_the_last_checkpoint_is_replaced(tmp_path):
    """Half a line too."""
    with RunFolder(str(tmp_path), "mine", {"dataset": "x"}) as folder:
        written = '{"optimizer": "adam", "epoch": 1, "loss": 7}\n{"optimizer": "ad'
        folder.write_text("metrics.jsonl", written)
        metrics, rows = Metrics(folder, CONFIG), [{"loss": 3}]
        metrics.begin("adam", rows)
        rows.append({"loss": 2})
        metrics.add()
        assert read(folder) == [("adam", 1, 3), ("adam", 2, 2)]
