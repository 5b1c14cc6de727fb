import io

import numpy as np
from rich.console import Console

from neat_optax.training import report
from neat_optax.training.statistics import Interval


def make_result():
    def one(low):
        return {
            "learning_rate": 0.2,
            "test_accuracy_interval": Interval(0.9, low, 1.8 - low),
            "mean_over_run": {"opposed": 0.25, "correction_ratio": 0.01},
            "curves": {key: np.full((3, 2), 0.5).tolist() for key, _ in report.CURVES},
        }

    difference = {"interval": Interval(0.0123, 0, 1), "verdict": "it is what it is."}
    return {
        "config": {"dataset": "digits", "seeds": 2, "epochs": 3, "learning_rate": None},
        "optimizers": {"neat": one(0.89), "control": one(float("nan"))},
        "differences": {"neat": difference},
    }


def test_table_shows_each_number():
    out = io.StringIO()
    report.show(make_result(), Console(file=out, width=100))
    printed = out.getvalue()
    for text in ("90.00 ± 1.00", "+1.23", "25.0%", "1.00%", "it is what it is."):
        assert text in printed


def test_table_fits_a_terminal_of_80_columns():
    out = io.StringIO()
    report.show(make_result(), Console(file=out, width=80))
    assert "…" not in out.getvalue()


def test_picture_is_written(tmp_path):
    report.draw(make_result(), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_tensorboard_files_hold_the_curves(tmp_path):
    report.write_tensorboard(make_result(), tmp_path)
    for name in ("neat", "control"):
        (file,) = (tmp_path / name).glob("events.out.tfevents.*")
        assert b"validation_accuracy" in file.read_bytes()


def test_a_diverged_run_is_shown_and_not_a_crash(tmp_path):
    result = make_result()
    curves = result["optimizers"]["neat"]["curves"]
    curves["validation_accuracy"] = [[float("nan")] * 2] * 3
    report.draw(result, tmp_path / "curves.png")
    report.write_tensorboard(result, tmp_path)
    report.show(result, Console(file=io.StringIO()))
