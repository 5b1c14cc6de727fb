import jax
import numpy as np
import optax
import pytest

import running
from neat_optax.experiments.benchmarks import player_studies
from neat_optax.experiments.benchmarks.player_studies import Sizes, Tried
from neat_optax.experiments.benchmarks.shared_trunk import shared_task
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.data.parts import Data, Split

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
SPLIT = Split(X, np.int32(X[:, :2] > 0))
DATA = Data(SPLIT, SPLIT, SPLIT)
PROBLEM = player_studies.Problem(
    shared_task(DATA, (2,)), DATA, Sizes((0.1, 0.2), 2, 3, 4)
)


def test_a_trial_has_weights_and_a_rate_of_its_own(monkeypatch):
    monkeypatch.setattr(optax, "adam", lambda rate: optax.scale(-rate))
    tried = Tried((0.5, 2.0), ((1, 0), (0.25, 0.75)))
    build = player_studies.fixed_weights(tried)
    task = PROBLEM.task._replace(aggregate=lambda aggregator: aggregator)
    gradients = np.float32([[1, 2], [10, 20]])

    @running.quick_jit
    def update(number):
        setting = Setting(0.25, task, 6, jax.random.key(0), {}, watched=False)
        tx = build(number, setting)
        return tx.update(gradients, tx.init(gradients[0]))[0]

    np.testing.assert_allclose(update(np.float32(0)), [-0.5, -1])
    np.testing.assert_allclose(update(np.float32(1)), [-15.5, -31])


def test_the_doctor_sees_batches_and_the_losses_of_players():
    probe = player_studies.probe_of(PROBLEM, lambda _, batch: batch.y.mean(0))
    assert [x.x.shape for x in probe.batches] == [(4, 3), (4, 3)]
    rows = np.concatenate([x.x for x in probe.batches])
    assert len(np.unique(rows, axis=0)) == 8
    assert probe.losses_fn(probe.params, probe.batches[0]).shape == (2,)


def test_pixels_are_means_of_four():
    image = np.arange(16, dtype=np.float32).reshape(1, 16)
    split = Split(np.repeat(image, 3, axis=0), np.arange(3))
    found = player_studies.halved(Data(split, split, split), 4, 2)
    np.testing.assert_array_equal(found.train.x, [[2.5, 4.5, 10.5, 12.5]] * 2)
    assert found.test.y.tolist() == [0, 1]


def test_the_mean_is_the_first_of_the_lineup():
    methods = player_studies.of_lineup()
    assert next(iter(methods)) == "mean"
    rates = player_studies.all_rates({**methods, "x": Tried((1.0,), ((1,),))}, (0.1,))
    assert rates["x"] == (1.0,)
    assert rates["upgrad"] == (0.1,)


@pytest.mark.slow
def test_methods_train_and_are_measured():
    for watched in (True, False):
        trainer = PROBLEM.trainer(
            player_studies.of_lineup(["upgrad"])["upgrad"], (0.1, 0.2), watched=watched
        )
        _, row = trainer.epoch(trainer.init(), 0)
        assert np.shape(row["validation_accuracy"]) == (4,)
        assert ("conflicting_pairs" in row) == watched
