import io

import pytest
from rich.console import Console

from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.commands.compact_command import show

ROW = {
    "threshold": 0.001,
    "accepted": True,
    "units_before": {"first": 128, "second": 64},
    "units_after": {"first": 25, "second": 12},
    "parameters_before": 17226,
    "parameters_after": 2067,
    "nonzeros_before": 3823,
    "nonzeros_after": 2067,
    "bytes_before": 68904,
    "bytes_after": 8268,
    "seconds_before": 80e-6,
    "seconds_after": 40e-6,
    "validation_accuracy_before": 0.9667,
    "validation_accuracy_after": 0.9667,
    "test_accuracy_before": 0.9694,
    "test_accuracy_after": 0.97,
}


def printed(row):
    out = io.StringIO()
    report = {
        "candidate": "cubic:0.8",
        "learning_rate": 0.009,
        "thresholds": (0.0, 1e-3),
        "examples_timed": 256,
        "seeds": {"0": row},
    }
    show(report, Console(file=out, width=80))
    return out.getvalue()


def test_table_shows_before_and_after():
    shown = " ".join(printed(ROW).split())
    assert "0 before 128, 64 17,226 3,823 68,904 80 µs 96.67 96.94" in shown
    assert "0.001 25, 12 2,067 2,067 8,268 40 µs 96.67 97.00" in shown


def test_table_says_where_nothing_was_cut():
    assert " none " in printed({**ROW, "accepted": False})


def test_table_fits_a_terminal_of_80_columns():
    assert "…" not in printed(ROW)


def test_a_folder_that_is_no_run_gives_one_line(tmp_path, capsys):
    assert main(["compact", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "`run` must be the folder of a run, got" in error
    assert len(error.strip().splitlines()) == 1


def test_help_explains(capsys):
    with pytest.raises(SystemExit):
        main(["compact", "--help"])
    assert "the sparsest, or the only one" in " ".join(capsys.readouterr().out.split())
