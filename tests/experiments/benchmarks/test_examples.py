import functools

import jax
import numpy as np
import pytest

import running
from neat_optax.experiments.benchmarks import examples
from neat_optax.experiments.data.parts import Data, Split


@functools.cache
def noisy():
    return examples._digits(False, 0.4)


def test_wrong_labels_are_known_and_those_of_the_test_are_right():
    given = noisy()
    assert given.wrong.shape == given.data.validation.y.shape
    np.testing.assert_allclose(given.wrong.mean(), 0.4, atol=0.01)
    assert len(given.data.train.y) == 539 - 1


def test_gradients_of_right_and_wrong_labels_are_compared():
    wrong = np.array([False, False, True])
    rows = np.float32([[1, 0], [3, 0], [-1, 1]])  # gradients of the examples
    measure = examples.right_with_wrong(lambda params, split: split @ params, wrong)
    found = running.quick_jit(measure)(np.zeros(2, np.float32), rows)
    np.testing.assert_allclose(found["right_with_wrong"], -np.sqrt(0.5), rtol=1e-6)


def test_studies_have_equal_trials_and_their_controls():
    for study in (examples.compare(noisy()), examples.ablate(noisy())):
        assert study.controls[0] == next(iter(study.methods)) == "mean"
        assert set(study.controls) <= set(study.methods)
        assert study.trials == 4


def test_the_doctor_sees_a_loss_for_each_example():
    probe = examples.compare(noisy()).probe()
    found = jax.eval_shape(probe.losses_fn, probe.params, probe.batches[0])
    assert found.shape == (32,)


@pytest.mark.slow
def test_every_method_can_be_traced():
    for study in (examples.compare(noisy()), examples.ablate(noisy())):
        for name in study.methods:
            trainer = study.trainer(name)
            jax.eval_shape(trainer.epoch, trainer.like(), 0)


@pytest.mark.slow
def test_a_study_trains_and_measures():
    given = noisy()
    few = Data(*(Split(x[:64], y[:64]) for x, y in given.data))
    small = given._replace(
        data=few,
        wrong=given.wrong[:64],
        sizes=given.sizes._replace(seeds=5, rates=(1e-3,)),
    )
    trainer = examples.compare(small).trainer("geometric-median")
    _, row = trainer.epoch(trainer.init(), 0)
    assert set(examples.MEASURES) <= set(row)
