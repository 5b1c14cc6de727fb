import io

import pytest
from rich.console import Console

from experiments.made_results import (
    make_player_result,
    make_pruning_result,
    make_result,
    make_stream_result,
)
from neat_optax.experiments.reports import report
from neat_optax.experiments.reports.layouts import layout

RESULTS = [make_result, make_player_result, make_pruning_result, make_stream_result]


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
    for text in (
        "100%",
        "0.220",
        "+1.23",
        "test_macro_f1: in percent, mean over",
        "it is what it is.",
    ):
        assert text in shown


def test_f1_is_shown_only_where_it_is_measured():
    result = make_player_result()
    for one in result["aggregators"].values():
        del one["test_macro_f1_interval"]
    assert "f1" not in printed(result, 100)


@pytest.mark.parametrize("make", RESULTS)
def test_table_fits_a_terminal_of_80_columns(make):
    assert "…" not in printed(make(), 80)


def test_table_of_prunings_shows_each_number():
    shown = " ".join(printed(make_pruning_result(), 100).split())
    assert "digits, uniform, seeds: 2" in shown
    assert "difference: to dense" in shown
    for text in ("97.50 ± 1.00", "98.01%", "8,613", "+1.23", "it is what it is."):
        assert text in shown


def test_table_of_a_stream_shows_each_number():
    shown = " ".join(printed(make_stream_result(), 100).split())
    for text in (
        "permuted:3",
        "94.00 ± 1.00",
        "-5.1",
        "19%",
        "33.6",
        "late_minus_early: the",
    ):
        assert text in shown


def test_columns_without_a_number_are_left_out():
    def headings(result):
        head = printed(result, 100).partition("─")[0]
        return " ".join(head.split())

    result = make_result()
    assert "correction_" in headings(result)
    assert "gain" not in headings(result)
    for one in result["optimizers"].values():
        one["mean_over_run"]["correction_ratio"] = 0.0
    result["optimizers"]["neat"]["mean_over_run"]["gain"] = 1.5
    assert "correction_" not in headings(result)
    assert "gain" in headings(result)
    assert "1.50" in printed(result, 100)


def test_a_result_of_an_earlier_version_is_shown():
    """Without what pruning has added."""
    result = make_result()
    assert "prune" not in result["config"]
    assert "at_end" not in result["optimizers"]["neat"]
    assert "90.00 ± 1.00" in printed(result, 100)


@pytest.mark.parametrize(
    ("tried", "title"),
    [
        ([[0.2], [0.2]], "epochs: 3, rates as given"),
        ([[0.02, 0.2], [0.02, 0.2]], "epochs: 3, rates selected on validation"),
        ([[0.2], [0.02, 0.2]], "epochs: 3, rates of control selected on validation"),
    ],
)
def test_title_says_where_rates_come_from(tried, title):
    result = make_result()
    for one, rates in zip(result["optimizers"].values(), tried, strict=True):
        one["learning_rates_tried"] = rates
    assert title in " ".join(printed(result, 200).split())


@pytest.mark.parametrize("seeds, warned", [(2, True), (5, False)])
def test_intervals_of_two_seeds_come_with_a_warning(seeds, warned):
    result = make_result()
    result["config"]["seeds"] = seeds
    assert ("two seeds say next to nothing" in printed(result, 200)) == warned


def test_a_rate_is_shown_as_it_is():
    result = make_result()
    result["optimizers"]["neat"]["learning_rate"] = 0.012345
    assert " 0.012345 " in printed(result, 100)


@pytest.mark.parametrize("make", RESULTS)
def test_columns_are_called_as_in_the_result(make):
    """What is in the column of a name is under that name in `result.json`."""
    result = make()
    known = {*layout(result).kind.split(), "difference", "note"}
    for report_ in result[layout(result).reports].values():
        known |= {name.removesuffix("_interval") for name in report_}
        known |= set(report_[layout(result).read])
    head = printed(result, 200).partition("─")[0].splitlines()[1:]
    below = [word for line in head for word in line.split()]
    parts = {part for name in known for part in name.replace("_", "_ ").split()}
    assert set(below) <= parts
    assert {"learning_", "difference"} <= set(below)
