import dataclasses
import json

import numpy as np
import pytest

from experiments.benchmarks import made_studies
from neat_optax import _timing
from neat_optax.experiments.benchmarks.carrying_out import carried_out, carry_out
from neat_optax.experiments.benchmarks.study import Score


def ignore(name, done):
    del name, done


def test_the_rate_is_chosen_on_validation_and_tested_once(tmp_path):
    found = carry_out(made_studies.make(), tmp_path, ignore)
    good = found["methods"]["good"]
    assert good["learning_rate"] == 1.0
    np.testing.assert_allclose(good["mean"], 0.7, atol=1e-4)
    assert good["verdict"] == "better"
    assert found["methods"]["bad"]["verdict"] == "worse"
    assert found["methods"]["sum"]["verdict"] is None
    assert found["conclusion"].startswith(
        "good helps: accuracy 70.00 % against 50.00 % of sum"
    )


def test_what_is_done_is_not_done_again(tmp_path):
    calls = []
    first = carry_out(made_studies.make(calls=calls), tmp_path, ignore)
    assert calls == ["sum"] * 3 + ["good"] * 3 + ["bad"] * 3
    again = carry_out(made_studies.make(calls=calls), tmp_path, ignore)
    assert len(calls) == 9
    assert again["methods"] == first["methods"]
    assert carried_out(made_studies.make(), tmp_path) == again


def test_a_method_that_is_added_is_the_only_one_trained(tmp_path):
    carry_out(made_studies.make(("sum", "bad")), tmp_path, ignore)
    calls = []
    found = carry_out(made_studies.make(calls=calls), tmp_path, ignore)
    assert calls == ["good"] * 3
    assert list(found["methods"]) == ["sum", "good", "bad"]


def test_a_study_that_is_stopped_goes_on(tmp_path):
    calls = []
    study = made_studies.make(calls=calls, checkpoint_every=1)

    def stop(name, done):
        if (name, done) == ("good", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(study, tmp_path, stop)
    assert carried_out(study, tmp_path) is None
    found = carry_out(study, tmp_path, ignore)
    assert calls == ["sum"] * 3 + ["good"] * 3 + ["bad"] * 3
    assert len(found["methods"]["good"]["curves"]["opposed"]) == 3
    assert not list((tmp_path / "made-up" / "checkpoints").iterdir())


def test_other_options_are_refused(tmp_path):
    carry_out(made_studies.make(), tmp_path, ignore)
    with pytest.raises(ValueError, match="size"):
        carry_out(made_studies.make(settings={"size": 2}), tmp_path, ignore)


def test_a_score_over_the_run_is_a_mean_of_its_epochs(tmp_path):
    score = Score(
        "online accuracy", "test_accuracy", "validation_accuracy", over_run=True
    )
    found = carry_out(made_studies.make(score=score), tmp_path, ignore)
    np.testing.assert_allclose(found["methods"]["sum"]["mean"], 0.51, atol=1e-4)
    late = found["methods"]["sum"]["measures"]["late_minus_early"]
    np.testing.assert_allclose(late, 0.02, atol=1e-6)


def test_seeds_choose_the_rate_for_one_another(tmp_path):
    """The first rate is best on average by the first seed alone."""

    def epoch(replicas, number):
        del number
        gains = np.array([[1.0, 0, 0, 0, 0], [0.1] * 5, [0.0] * 5])
        return replicas, {"accuracy": gains.ravel()}

    def trainer(name):
        return made_studies.make().trainer(name)._replace(epoch=epoch)

    score = Score("online accuracy", "accuracy", "accuracy", over_run=True)
    study = made_studies.make(score=score, trainer=trainer)
    found = carry_out(study, tmp_path, ignore)
    scores = found["methods"]["sum"]["scores"]
    np.testing.assert_allclose(scores, [0.1, 0, 0, 0, 0], atol=1e-9)


def test_costs_are_multiples_of_the_control(tmp_path, monkeypatch):
    made = {
        "sum": _timing.Cost((1.0, 2.0, 4.0), 100),
        "good": _timing.Cost((3.0, 6.0, 20.0), 150),
    }
    monkeypatch.setattr(_timing, "costs", lambda steps: {x: made[x] for x in steps})
    study = made_studies.make(("sum", "good"), step=lambda name: name)
    found = carry_out(study, tmp_path, ignore)["methods"]
    assert found["sum"]["cost"] == {"time": 1, "memory": 1, "milliseconds": 2e3}
    assert found["good"]["cost"] == {"time": 3, "memory": 1.5, "milliseconds": 6e3}
    kept = json.loads((tmp_path / "made-up" / "costs.json").read_text())
    assert kept["good"] == found["good"]["cost"]


def test_every_method_has_as_many_trials():
    with pytest.raises(ValueError, match="`methods` must try as many rates each"):
        dataclasses.replace(
            made_studies.make(), methods={"sum": (1.0,), "good": (1.0, 2.0)}
        )


def test_the_first_control_comes_first():
    with pytest.raises(ValueError, match="`controls` must begin with the first"):
        made_studies.make(controls=("good",))
