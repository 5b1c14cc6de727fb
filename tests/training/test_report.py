import io

import numpy as np
import pytest
from rich.console import Console

from neat_optax.training import report
from neat_optax.training.statistics import Interval


def make_result():
    def one(low):
        return {
            "learning_rate": 0.2,
            "test_accuracy_interval": Interval(0.9, low, 1.8 - low),
            "mean_over_run": {"opposed": 0.25, "correction_ratio": 0.01},
            "curves": {
                key: np.full((3, 2), 0.5).tolist()
                for key, _ in report.OPTIMIZERS.curves
            },
        }

    difference = {"interval": Interval(0.0123, 0, 1), "verdict": "it is what it is."}
    return {
        "config": {
            "dataset": "digits",
            "players": None,
            "seeds": 2,
            "epochs": 3,
            "learning_rate": None,
        },
        "optimizers": {"neat": one(0.89), "control": one(float("nan"))},
        "differences": {"neat": difference},
    }


def make_player_result():
    def one(turn):
        return {
            "learning_rate": 0.0009,
            "test_accuracy_interval": Interval(0.8, 0.78, 0.82),
            "test_macro_f1_interval": Interval(0.374, 0.3, 0.4),
            "mean_over_run": {
                "conflicting_pairs": 0.465,
                "opposed": 1.0,
                "worst_cosine": -0.15,
                "correction_ratio": turn,
            },
            "curves": {
                key: np.full((3, 2), 0.5).tolist()
                for key, _ in report.AGGREGATORS.curves
            },
        }

    result = make_result()
    result["config"] |= {"dataset": "yeast", "players": "tasks"}
    del result["optimizers"]
    return result | {
        "aggregators": {
            "upgrad": one(0.22),
            "aligned_mtl": one(1.25),
            "mean": one(0.0),
        },
        "differences": {"upgrad": result["differences"]["neat"]},
    }


def printed(result, width):
    out = io.StringIO()
    report.show(result, Console(file=out, width=width))
    return out.getvalue()


def test_table_shows_each_number():
    for text in ("90.00 ± 1.00", "+1.23", "25.0%", "1.00%", "it is what it is."):
        assert text in printed(make_result(), 100)


def test_table_of_players_shows_each_number():
    shown = " ".join(printed(make_player_result(), 100).split())
    for text in ("yeast, players: tasks", "80.00 ± 2.00", "37.4", "46.5%", "-0.15"):
        assert text in shown
    for text in ("100%", "0.220", "+1.23", "F1: mean over", "it is what it is."):
        assert text in shown


def test_f1_is_shown_only_where_it_is_measured():
    result = make_player_result()
    for one in result["aggregators"].values():
        del one["test_macro_f1_interval"]
    assert "F1" not in printed(result, 100)


@pytest.mark.parametrize("make", [make_result, make_player_result])
def test_table_fits_a_terminal_of_80_columns(make):
    assert "…" not in printed(make(), 80)


@pytest.mark.parametrize("make", [make_result, make_player_result])
def test_picture_is_written(make, tmp_path):
    report.draw(make(), tmp_path / "curves.png")
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
