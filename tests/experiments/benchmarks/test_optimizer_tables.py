import pytest

from neat_optax.experiments.benchmarks import optimizer_tables, optimizer_variants


def method(mean):
    return {"mean": mean, "scores": [mean - 0.01, mean, mean + 0.01]}


def test_the_table_of_digits_has_published_and_tuned_figures_side_by_side():
    fixed = {name: method(0.95) for name in optimizer_variants.RATES}
    fixed["NEAT, rate 0.03"] = method(0.96)
    tuned = dict.fromkeys(("sgd", "adam", "adamw", "adaptive", "neat"), method(0.97))
    table = optimizer_tables.of_digits(fixed, tuned)
    rows = {row[0]: row for row in table.rows}
    assert rows["SGD"][1:5] == ("97.04", "95.00", "97.00", "")
    assert rows["NEAT, rate 0.03"][1:4] == ("94.72", "96.00", "97.00")
    assert rows["NEAT, rate 0.03"][4].startswith("+1.00")
    assert {len(row) for row in table.rows} == {len(table.head)}


def test_the_table_of_images_takes_the_control_for_sgd():
    methods = {"control": method(0.8), "adam": method(0.7), "adaptive": method(0.6)}
    table = optimizer_tables.of_images(methods)
    assert [row[2] for row in table.rows] == ["60.00", "70.00", "80.00"]


def test_muon_is_held_against_adam_where_both_are(monkeypatch):
    even, ahead = method(0.8), {**method(0.9), "scores": [0.89, 0.9, 0.91]}
    studies = {"a": {"muon": ahead, "adam": even}, "b": {"muon": even, "adam": even}}
    ahead_row, even_row = optimizer_tables.muon_and_adam(studies).rows
    assert ahead_row == ("a", "90.00", "80.00", "+10.00 [+10.00, +10.00]", "better")
    assert even_row[-1] == "open"
    done = {name: {"methods": methods} for name, methods in studies.items()}
    without_adam = {"c": {"methods": {"muon": even}}}
    monkeypatch.setattr(optimizer_tables, "toy_problems", lambda: None)
    first, *_ = optimizer_tables.tables(False, {**done, **without_adam})
    assert [row[0] for row in first.rows] == ["a", "b"]


@pytest.mark.slow
def test_the_correction_drifts_where_gradients_alternate():
    table = optimizer_tables.tables(False, {})[0]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["alpha 0"][0] == "0.053"  # (1 - 0.9) / (1 + 0.9)
    assert rows["NEAT"][0] == "0.125"  # half of alpha
