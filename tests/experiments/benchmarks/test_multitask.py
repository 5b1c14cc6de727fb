import jax
import numpy as np
import pytest

from neat_optax.experiments.benchmarks import multitask
from neat_optax.experiments.benchmarks.multitask import FIXED
from neat_optax.experiments.benchmarks.player_studies import (
    NOT_FOR_TWO,
    Problem,
    Sizes,
)
from neat_optax.experiments.benchmarks.shared_trunk import shared_task
from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.data.parts import Data, Split

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
SPLIT = Split(X, np.float32([1, 100]) * X[:, :2])
SMALL = multitask.Set(
    "small",
    "Two targets.",
    Data(SPLIT, SPLIT, SPLIT),
    (4,),
    Sizes((1e-2, 3e-2, 0.1, 0.3), 5, 2, 20),
    multitask._by_scale(Data(SPLIT, SPLIT, SPLIT)),
)


@pytest.mark.parametrize(("players", "missing"), [(2, set(NOT_FOR_TWO)), (3, set())])
def test_every_aggregator_is_compared_with_its_controls(players, missing):
    split = Split(X, X[:, :players])
    study = multitask.compare(SMALL._replace(data=Data(split, split, split)))
    assert set(AGGREGATORS.candidates) - set(study.methods) == missing
    assert set(study.methods) - set(AGGREGATORS.candidates) == {
        FIXED,
        multitask.ALONE,
    }
    assert set(study.controls) <= set(study.methods)
    assert study.trials == 4


def test_weights_are_tuned_in_as_many_trials():
    tried = multitask._tried(SMALL)
    assert tried.rates == (0.03, 0.1, 0.03, 0.1)
    weights = np.array(tried.weights)
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    ratios = weights[:, 0] / weights[:, 1]
    variances = SPLIT.y.var(axis=0)
    scale = variances[1] / variances[0]
    np.testing.assert_allclose(ratios[[0, 2]], [np.sqrt(scale), scale], rtol=1e-3)


def test_labels_are_weighted_by_their_entropy():
    labels = np.zeros((10, 2), np.int32)
    labels[:5, 0], labels[:1, 1] = 1, 1
    split = Split(np.zeros((10, 1), np.float32), labels)
    found = multitask._constant_losses(Data(split, split, split))
    np.testing.assert_allclose(found, [np.log(2), 0.325083], rtol=1e-5)


def test_digits_take_the_place_of_images_that_are_not_there(monkeypatch):
    monkeypatch.setattr(multitask, "has_fashion", lambda _: False)
    found = multitask._images(False, None)
    assert found.name == "multi-digits"
    assert found.data.train.x.shape == (1077, 100)


@pytest.mark.parametrize("full", [False, True])
def test_what_needs_no_files_can_be_built(full, monkeypatch):
    monkeypatch.setattr(multitask, "has_fashion", lambda _: False)
    names = [study.name for study in multitask.studies(full)]
    assert names == ["multi-digits", "yeast", "worst-cells", "worst-cells-ablation"]


@pytest.mark.slow
@pytest.mark.parametrize("name", multitask._variants(SMALL))
def test_every_variant_can_be_traced(name):
    problem = Problem(shared_task(SMALL.data, (4,)), SMALL.data, SMALL.sizes)
    trainer = problem.trainer(multitask._variants(SMALL)[name], (0.1,))
    jax.eval_shape(trainer.epoch, trainer.like(), 0)


@pytest.mark.slow
def test_weights_by_scale_beat_the_mean_of_losses_of_other_scales():
    study = multitask.compare(SMALL)
    found = {}
    for name in ("mean", FIXED):
        trainer = study.trainer(name)
        replicas, row = trainer.init(), {}
        for number in range(20):
            replicas, row = trainer.epoch(replicas, number)
        found[name] = np.min(row["validation_delta_m"].reshape(4, 5).mean(axis=1))
        assert "validation_task_0" not in row
    assert found[FIXED] < found["mean"]
