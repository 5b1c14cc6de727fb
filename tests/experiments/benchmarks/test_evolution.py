import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest

import running
from neat_optax.experiments.benchmarks import evolution
from neat_optax.experiments.benchmarks.carrying_out import carry_out
from neat_optax.experiments.runs.evolve_tasks import make_task

SUM = dataclasses.replace(evolution.study_of("sum", 1, 2), num_epochs=3)


@functools.cache
def after(method, pieces):
    """Rows of a search for the smallest sum, [rates, seeds] each."""
    trainer = SUM.trainer(method)
    replicas, rows = trainer.init(), []
    for piece in range(pieces):
        replicas, row = trainer.epoch(replicas, piece)
        rows.append({key: np.reshape(x, (3, 2)) for key, x in row.items()})
    return replicas, rows, trainer


def test_all_search_with_as_many_evaluations_and_trials():
    for name in evolution.PROBLEMS:
        study = evolution.study_of(name, 1, 2)
        assert next(iter(study.methods)) == evolution.CONTROL
        assert study.trials == 3
        assert ("adam" in study.methods) == (name != "cartpole")
        task = make_task(name)
        total = study.options()["generations"] * task.settings.population
        assert f"{total:,} evaluations" in study.about


@pytest.mark.slow
@pytest.mark.parametrize("method", SUM.methods)
def test_searches_get_nearer(method):
    with running.quickly():
        _, rows, _ = after(method, 3)
    first, last = rows[0]["test"], rows[-1]["test"]
    assert (last > 0).all() and np.isfinite(last).all()
    assert last.min() < 0.9 * first.min()
    np.testing.assert_allclose(last, 1e-6 - rows[-1]["fitness"], rtol=1e-4)


@pytest.mark.slow
def test_the_best_by_chance_never_gets_worse():
    with running.quickly():
        _, rows, _ = after(evolution.CONTROL, 3)
    values = [row["test"] for row in rows]
    assert all((b <= a).all() for a, b in itertools.pairwise(values))


@pytest.mark.slow
def test_a_policy_is_scored_as_in_the_last_piece():
    with running.quickly():
        replicas, rows, trainer = after("breeder", 3)
        first = jax.tree.map(lambda x: x[:2], replicas.params)
        scores = trainer.scores(first, None)["test"]
    np.testing.assert_allclose(scores, rows[-1]["test"][0], rtol=1e-5)


@pytest.mark.slow
def test_the_picture_shows_scores_over_evaluations(tmp_path):
    few = {name: SUM.methods[name] for name in (evolution.CONTROL, "es")}
    study = dataclasses.replace(SUM, methods=few)
    with running.quickly():
        found = carry_out(study, tmp_path, lambda *_: None)
    evolution.pictures({"studies": {"sum": found}}, tmp_path)
    assert (tmp_path / "bench_evolution_curves.png").stat().st_size > 1000
