import json
import sys

import pytest

from neat_optax.experiments.commands.cli import main

SOURCE = """
import numpy as np

def problem():
    ends = np.array([1.0, -1.0], np.float32)
    return lambda p, batch: (p - ends) ** 2, np.zeros(2, np.float32), [ends]

def with_options():
    losses_fn, params, batches = problem()
    return {"losses_fn": losses_fn, "params": params, "batches": batches,
            "players": ["left", "right"]}

def wrong():
    return 3

def unknown():
    return {**with_options(), "steps": 4}
"""
FEW = ["--steps", "4", "--trial-steps", "2", "--candidate", "imtl-g"]
FEW += ["--seeds", "2", "--factors", "1.0"]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working folder."""
    (tmp_path / "asked_for.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "asked_for"
    sys.modules.pop("asked_for", None)


@pytest.mark.slow
def test_the_report_is_printed_and_kept(module, tmp_path, capsys):
    for name in ("problem", "with_options"):
        assert main(["doctor", f"{module}:{name}", *FEW]) == 0
    said, told = capsys.readouterr()
    assert "Recommendation: " in said
    assert "compiling a step with imtl_g" in told
    first, second = sorted((tmp_path / "runs").iterdir())
    for folder in (first, second):
        assert (folder / "doctor.txt").read_text().strip() in said
        assert (folder / "doctor.png").stat().st_size > 10_000
    kept = [json.loads((x / "doctor.json").read_text()) for x in (first, second)]
    assert [x["measures"]["trial"]["imtl_g"]["factor"] for x in kept] == [1.0, 1.0]
    names = [x["measures"]["players"] for x in kept]
    assert names == [["player 0", "player 1"], ["left", "right"]]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ([], "`problem` or `benchmark` must be given"),
        (["asked_for"], "`problem` must be MODULE:FUNCTION, got asked_for."),
        (["no_such:problem"], "that can be imported, got no_such."),
        (["asked_for:nothing"], "must name a function of asked_for, got nothing."),
        (["asked_for:wrong"], "must return losses_fn, params and batches"),
        (["asked_for:unknown"], "got steps; what else the doctor takes is an option"),
        (["asked_for:problem", "--candidate", "adam"], "`candidate` must be"),
    ],
)
def test_what_cannot_be_examined_is_refused_in_one_line(
    module, place, sentence, capsys
):
    del module
    assert main(["doctor", *place]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
