import json

import pytest

from experiments.benchmarks import made_studies
from neat_optax.experiments.benchmarks import catalog
from neat_optax.experiments.benchmarks.study import Benchmark, Table
from neat_optax.experiments.commands import bench_command
from neat_optax.experiments.commands.cli import main

TABLES = [Table("Times", "Ratios.", ("what", "figure"), (("a step", "2.0"),))]


@pytest.fixture
def made(monkeypatch):
    """A benchmark of two studies, and what it was asked for."""
    asked = []

    def studies(full, folder):
        asked.append((full, folder))
        return [made_studies.make(), made_studies.make(("sum", "bad"), name="other")]

    benchmark = Benchmark("Numbers?", studies, tables=lambda *_: TABLES)
    monkeypatch.setattr(catalog, "find", lambda _: benchmark)
    return asked


def call(tmp_path, *more):
    return main(["bench", "toy", "--output", str(tmp_path / "out"), *more])


def test_all_studies_are_carried_out_and_written(made, tmp_path, capsys):
    results = tmp_path / "results"
    assert call(tmp_path, "--results", str(results), "--data", "x") == 0
    assert made == [(False, "x")]
    printed = capsys.readouterr().out
    assert "good helps: accuracy 70.00 % against 50.00 % of sum" in printed
    result = json.loads((results / "toy.json").read_text())
    whole = json.loads((tmp_path / "out" / "toy" / "toy.json").read_text())
    curves = whole["studies"]["other"]["methods"]["bad"].pop("curves")
    assert len(curves["opposed"]) == 3
    assert "curves" not in result["studies"]["other"]["methods"]["bad"]
    assert list(result["studies"]) == list(whole["studies"])
    assert list(result["studies"]) == ["made-up", "other"]
    assert result["form"] == "small"
    assert result["tables"][0]["title"] == "Times"
    assert (tmp_path / "out" / "toy" / "bench_toy.png").exists()


@pytest.mark.usefixtures("made")
def test_one_study_at_a_time_keeps_the_others(tmp_path):
    assert call(tmp_path, "--study", "other") == 0
    file = tmp_path / "out" / "toy" / "toy.json"
    assert list(json.loads(file.read_text())["studies"]) == ["other"]
    assert call(tmp_path, "--study", "made-up") == 0
    assert list(json.loads(file.read_text())["studies"]) == ["made-up", "other"]


def test_the_full_form_has_a_folder_of_its_own(made, tmp_path):
    assert call(tmp_path, "--full") == 0
    assert made == [(True, None)]
    result = json.loads((tmp_path / "out" / "toy-full" / "toy-full.json").read_text())
    assert result["form"] == "full"


@pytest.mark.usefixtures("made")
def test_a_study_that_is_not_there_is_refused(tmp_path, capsys):
    assert call(tmp_path, "--study", "x") == 2
    assert "`study` must be one of made-up, other, got x" in capsys.readouterr().err


def test_a_benchmark_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["bench", "tyo", "--output", str(tmp_path)]) == 2
    assert "`name` must be one of quick, toy, multitask" in capsys.readouterr().err


@pytest.mark.usefixtures("made")
def test_runs_lists_studies(tmp_path, capsys):
    call(tmp_path, "--study", "other")
    assert main(["runs", str(tmp_path / "out")]) == 0
    line = capsys.readouterr().out.splitlines()[-3]
    assert line.split()[:3] == ["toy/other", "bench", "other"]
    assert "finished" in line


def test_what_is_measured_stands_beside_the_tables(monkeypatch, tmp_path):
    asked = []

    def measured(full, root, tick):
        tick("before a step")
        asked.append((full, root))
        return TABLES

    benchmark = Benchmark("Costs?", lambda *_: [], measured=measured)
    monkeypatch.setattr(catalog, "find", lambda _: benchmark)
    assert call(tmp_path) == 0
    assert asked == [(False, tmp_path / "out" / "toy")]
    result = json.loads((tmp_path / "out" / "toy" / "toy.json").read_text())
    assert result["studies"] == {}
    assert [table["title"] for table in result["tables"]] == ["Times"]


def test_results_have_six_digits_and_a_line_for_a_list_of_numbers():
    given = {"a": [0.1234567, 2, None, -1e-9], "b": [["x", 1.0]], "c": [[1.5], []]}
    text = bench_command._text(given)
    assert json.loads(text) == {**given, "a": [0.123457, 2, None, -1e-9]}
    assert '"a": [ 0.123457, 2, null, -1e-09 ]' in text
