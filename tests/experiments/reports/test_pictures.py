import io

import numpy as np
import pytest
from rich.console import Console

from experiments.made_results import (
    make_player_result,
    make_pruning_result,
    make_result,
    make_stream_result,
)
from neat_optax.experiments.reports import pictures, report
from neat_optax.experiments.reports.statistics import Interval

RESULTS = [make_result, make_player_result, make_pruning_result, make_stream_result]


@pytest.mark.parametrize("make", RESULTS)
def test_picture_is_written(make, tmp_path):
    pictures.draw(make(), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_conflict_has_one_panel(tmp_path):
    result = make_result()
    for one in result["optimizers"].values():
        curves = one["curves"]
        for key in set(curves) - {"validation_accuracy"}:
            curves[key] = np.zeros((3, 2)).tolist()
    pictures.draw(result, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_curves_are_averaged_over_neighbors():
    values = np.arange(12.0).reshape(6, 2)
    np.testing.assert_array_equal(pictures._smoothed(values, 1), values)
    found = pictures._smoothed(values, 3)
    np.testing.assert_allclose(found[2], values[1:4].mean(axis=0))
    assert found.shape == values.shape


def test_measures_of_some_candidates_only_are_drawn(tmp_path):
    result = make_result()
    curves = result["optimizers"]["control"]["curves"]
    del curves["plasticity"]
    pictures.draw(result, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_tensorboard_files_hold_the_curves(tmp_path):
    pictures.write_tensorboard(make_result(), tmp_path)
    for name in ("neat", "control"):
        (file,) = (tmp_path / name).glob("events.out.tfevents.*")
        assert b"validation_accuracy" in file.read_bytes()


def test_a_diverged_run_is_shown_and_not_a_crash(tmp_path):
    result = make_result()
    curves = result["optimizers"]["neat"]["curves"]
    curves["validation_accuracy"] = [[float("nan")] * 2] * 3
    pictures.draw(result, tmp_path / "curves.png")
    pictures.write_tensorboard(result, tmp_path)
    report.show(result, Console(file=io.StringIO()))


def test_folders_of_prunings_have_no_colon(tmp_path):
    pictures.write_tensorboard(make_pruning_result(), tmp_path)
    found = sorted(folder.name for folder in tmp_path.iterdir())
    assert found == ["2-4", "cubic-0.5", "cubic-0.98", "dense"]


def test_picture_of_sparsity_is_written(tmp_path):
    pictures.draw_sparsity(make_pruning_result(), tmp_path / "sparsity.png")
    assert (tmp_path / "sparsity.png").read_bytes().startswith(b"\x89PNG")


def test_picture_of_sparsity_needs_no_second_seed(tmp_path):
    result, nan = make_pruning_result(), float("nan")
    for name, one in result["prunings"].items():
        one["test_accuracy_interval"] = Interval(0.5, nan, nan)
        one["at_end"]["sparsity"] = 0.0 if name == "dense" else 1.0
    pictures.draw_sparsity(result, tmp_path / "sparsity.png")
