import jax
import numpy as np
import pytest

import running
from neat_optax.experiments.benchmarks import pinn
from neat_optax.experiments.benchmarks.carrying_out import carry_out
from neat_optax.experiments.benchmarks.pinn import (
    methods,
    pictures,
    questions,
    training,
)
from neat_optax.experiments.benchmarks.pinn.methods import AGGREGATORS

TINY = training.Sizes(width=4, hidden=1, inside=6, outside=4, steps=4, pieces=2)


@pytest.mark.slow
@pytest.mark.parametrize("full", [False, True])
def test_every_problem_has_its_studies(full):
    found = {study.name: study for study in pinn.BENCHMARK.studies(full, None)}
    kinds = ("", "-optimizers")
    assert set(found) == {
        *(name + kind for name in questions.PROBLEMS for kind in kinds),
        "burgers-parts",
    }
    for study in found.values():
        assert set(study.controls) <= set(study.methods)
        assert study.seeds >= (3 if full else 5)
        steps = study.settings["steps"]
        assert steps % study.num_epochs == 0
    assert found["burgers"].controls == ("sum", "random", "neat-control")


@pytest.mark.slow
@pytest.mark.parametrize("name", questions.PROBLEMS)
def test_every_method_can_take_a_step(name):
    run = questions.make_run(name, TINY)
    known = methods.AGGREGATORS | methods.OPTIMIZERS | methods.PARTS
    few = ("upgrad-in-soap",)
    for method in known if name == "kovasznay" else few:
        plain = training.plain_step(run, known[method])
        found, _ = jax.eval_shape(plain.fn, *plain.args)
        assert found.shape == plain.args[0].shape
    probe = questions.probe_of(run, 2)
    for half in probe.noise(probe.batches[0]):
        losses = jax.eval_shape(probe.losses_fn, probe.params, half)
        assert losses.shape == (len(run.problem.players),)


@pytest.mark.slow
def test_a_study_has_its_table_and_its_picture(tmp_path):
    few = {name: AGGREGATORS[name] for name in ("sum", "neat-control", "upgrad")}
    study = questions.study(
        "kovasznay", few, ("sum", "neat-control"), sizes=TINY, seeds=2, costs=True
    )
    with running.quickly():
        found = carry_out(study, tmp_path, lambda *_: None)
    result = {"studies": {"kovasznay": found}}
    (table,) = pinn.BENCHMARK.tables(False, result["studies"])
    assert [row[0] for row in table.rows] == list(few)
    assert table.head == ("method", "kovasznay")
    pinn.BENCHMARK.pictures(result, tmp_path)
    assert (tmp_path / pictures.FILE).stat().st_size > 1000
    rows = found["methods"]
    np.testing.assert_allclose(rows["sum"]["mean"], rows["neat-control"]["mean"], 1e-2)
    assert rows["sum"]["measures"]["correction_ratio"] == 0
    assert rows["upgrad"]["cost"]["time"] > 0
