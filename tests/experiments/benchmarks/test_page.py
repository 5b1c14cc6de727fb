import json

import pytest

from experiments.benchmarks import made_studies
from neat_optax.experiments.benchmarks import page, summary
from neat_optax.experiments.benchmarks.carrying_out import carry_out
from neat_optax.experiments.benchmarks.study import Score, Table


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    found = carry_out(
        made_studies.make(), tmp_path_factory.mktemp("x"), lambda *_: None
    )
    return json.loads(json.dumps(found))


@pytest.fixture(scope="module")
def result(study):
    tables = [Table("Times", "Ratios.", ("what", "figure"), (("a step", "2.0"),))]
    return page.result("toy", False, "Numbers?", {"made-up": study}, tables)


def test_the_table_has_the_best_first_and_controls_in_italics(study):
    lines = page.table(study).splitlines()
    head = "| method | rate | accuracy, % | difference to sum | verdict |"
    assert lines[0].startswith(head)
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| good",
        "| *sum*",
        "| bad",
    ]
    assert (
        lines[2]
        == "| good | 1 | 70.00 ± 0.00 | +20.00 [+20.00, +20.00] | better | 0.612 |"
    )


def test_ratios_are_shown_with_their_intervals(study):
    changed = dict(study, score=Score("e", "e", "v", False, True)._asdict())
    line = page.table(changed).splitlines()[-1]
    assert "0.7 [0.7, 0.7] | x0.2 [0.2, 0.2]" in line


def test_costs_have_columns_where_there_are_some(study):
    rows = {
        name: {**row, "cost": {"time": 2.0, "memory": 1.5, "milliseconds": 1.0}}
        for name, row in study["methods"].items()
    }
    lines = page.table({**study, "methods": rows}).splitlines()
    assert lines[0].endswith("| conflict | time | memory |")
    assert lines[2].endswith("| 2.00 | 1.50 |")


def test_the_abstract_names_for_each_method_where_it_helps(result):
    lines = summary.abstract({"toy": result}).splitlines()
    assert lines[0] == "### Aggregators and weightings of losses"
    assert (
        "| good | [made-up](evidence/toy.md#made-up) +20.00 [+20.00, +20.00] |  | 0 |"
        in lines
    )
    assert lines[-1].endswith("in so many studies: bad (1, worse in 1).")


def test_pages_hold_conclusions_and_tables(result):
    text = summary.page({"toy": result})
    assert "- **made-up**: good helps: accuracy 70.00 %" in text
    assert "All figures, and the tables *Times*: " in text
    assert "(evidence/toy.md)" in text
    text = summary.benchmark_page("toy", result)
    assert "3 methods, 3 learning rates each, 5 seeds" in text
    assert "- `accuracy, %`: on test data, in percent, higher is better" in text
    assert "- `conflict`: share of steps" in text
    assert "`memory`" not in text
    assert "The same to the last digit" not in text
    methods = result["studies"]["made-up"]["methods"]
    twice = {
        **result["studies"]["made-up"],
        "methods": {**methods, "twin": methods["bad"]},
    }
    same = summary.benchmark_page("toy", {**result, "studies": {"made-up": twice}})
    assert "The same to the last digit: bad = twin.\n" in same
    assert "## Times\n\nRatios.\n\n| what | figure |" in text


def test_a_picture_is_drawn(result, tmp_path):
    page.draw(result, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_drawn_of_no_study(tmp_path):
    page.draw({"benchmark": "speed", "studies": {}}, tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
