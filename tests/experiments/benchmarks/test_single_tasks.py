import numpy as np
import pytest

from neat_optax.experiments.benchmarks.single_tasks import (
    Alone,
    against,
    delta_m,
    train_alone,
)
from neat_optax.experiments.runs.loop import Trainer


class Made:
    """A problem of two tasks whose trainer tells what it is given."""

    class sizes:
        rates, seeds, epochs = (0.1, 0.2), 3, 2

    class data:
        targets, test = False, "test"

    def __init__(self, targets):
        self.data.targets = targets

    def trainer(self, build, rates, *, watched):
        del build
        assert (rates, watched) == (self.sizes.rates, False)
        # [rates, seeds]: the first task is best at the first rate, the second is not
        first = np.array([[0.9, 0.9, 0.9], [0.8, 0.8, 0.8]])
        second = np.array([[0.5, 0.5, 0.5], [0.6, 0.7, 0.8]])
        row = {"validation_task_0": first.ravel(), "validation_task_1": second.ravel()}
        test = {"task_0": first.ravel() - 0.1, "task_1": second.ravel() - 0.1}
        return Trainer(
            init=lambda: 0,
            like=lambda: 0,
            epoch=lambda replicas, _: (replicas + 1, row),
            scores=lambda params, split: test if (params, split) == (2, "test") else {},
            served=lambda replicas: replicas,
        )


@pytest.mark.parametrize(
    ("larger", "expected"), [(True, (0.9, 0.7)), (False, (0.8, 0.5))]
)
def test_each_task_chooses_its_own_rate(larger, expected):
    found = train_alone(Made(targets=not larger))
    np.testing.assert_allclose(found.validation, expected)
    np.testing.assert_allclose(found.test, np.array(expected) - 0.1)
    assert found.larger_is_better is larger


def test_lower_is_better_whatever_the_metric():
    alone = np.array([0.8, 2.0])
    worse = np.array([[0.4], [1.0]])
    np.testing.assert_allclose(delta_m(worse, alone, True), [0.5])
    np.testing.assert_allclose(delta_m(worse, alone, False), [-0.5])
    assert delta_m(alone, alone, True) == 0


def test_validation_and_test_have_baselines_of_their_own():
    alone = Alone(np.array([1.0, 2.0]), np.array([2.0, 4.0]), False)
    of_tasks = {"task_0": np.array([2.0, 1.0]), "task_1": np.array([2.0, 2.0])}
    row = {f"validation_{key}": x for key, x in of_tasks.items()}
    trainer = Trainer(
        init=lambda: 0,
        like=lambda: 0,
        epoch=lambda replicas, _: (replicas, {"loss": 1, **row}),
        scores=lambda *_: of_tasks,
    )
    found = against(trainer, lambda: alone)
    _, measured = found.epoch(0, 0)
    assert set(measured) == {"loss", "validation_delta_m"}
    np.testing.assert_allclose(measured["validation_delta_m"], [0.5, 0])
    np.testing.assert_allclose(found.scores(0, 0)["delta_m"], [-0.25, -0.5])
