import dataclasses

import numpy as np
import pytest

import running
from neat_optax.experiments.benchmarks import toy, toy_running
from neat_optax.experiments.benchmarks.carrying_out import carry_out
from neat_optax.experiments.benchmarks.player_studies import NOT_FOR_TWO
from neat_optax.experiments.candidates.aggregators import AGGREGATORS


def test_every_aggregator_of_two_players_takes_part():
    names = toy.methods()
    assert set(names[:3]) == set(toy.CONTROLS)
    assert names[0] == toy.CONTROLS[0]
    assert set(names) | set(NOT_FOR_TWO) == set(AGGREGATORS.candidates)


@pytest.mark.slow
def test_a_study_has_its_table_and_its_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(toy_running, "PIECES", 3)
    monkeypatch.setattr(toy, "SEEDS", 2)
    studies = toy.studies(False, None)
    assert [study.name for study in studies] == ["valley", "squares", "bowls"]
    names = ("mean", "random", "control", "upgrad")
    few = {name: studies[1].methods[name] for name in names}
    study = dataclasses.replace(studies[1], methods=few, num_epochs=3)
    with running.quickly():
        found = carry_out(study, tmp_path, lambda *_: None)
        (table,) = toy.tables(False, {"squares": found})
        result = {"form": "small", "studies": {"squares": found}}
        toy.pictures(result, tmp_path)
    assert {len(row) for row in table.rows} == {len(table.head)}
    (mean,) = (row for row in table.rows if row[0] == "mean")
    assert mean[1] == "1.00"  # all on the front
    assert (tmp_path / "bench_toy_squares.png").stat().st_size > 1000
    losses = study.probe()
    np.testing.assert_allclose(
        losses.losses_fn(losses.params, losses.batches[0]), [9, 4]
    )
