import jax
import numpy as np
import optax
import pytest

from neat_optax.neat import neat
from neat_optax.training import data
from neat_optax.training.loop import make_trainer


@pytest.fixture(scope="module")
def wine():
    return data.load("wine")


def make(wine, rates=(0.1, 0.5), seeds=2):
    def build(rate):
        return neat(rate, measure=True)

    return make_trainer(build, wine, seeds=seeds, rates=rates, batch_size=32)


def test_training_learns_and_measures(wine):
    trainer = make(wine)
    replicas = trainer.init()
    first = None
    for number in range(8):
        replicas, measures = trainer.epoch(replicas, number)
        first = measures if first is None else first
    assert (measures["loss"] < first["loss"]).all()
    assert (measures["validation_accuracy"] > 0.9).all()
    assert set(measures) == {
        "loss",
        "conflict",
        "opposed",
        "correction_ratio",
        "update_alignment",
        "validation_accuracy",
    }


def test_replicas_pair_rates_with_seeds_and_start_alike(wine):
    params = make(wine).init().params
    kernel = jax.tree.leaves(params)[1]
    assert len(kernel) == 4
    np.testing.assert_array_equal(kernel[0], kernel[2])  # the same seed, another rate
    assert not np.array_equal(kernel[0], kernel[1])


def test_an_epoch_is_the_same_alone_and_among_replicas(wine):
    both, _ = make(wine, rates=(0.1, 0.5), seeds=1).epoch(
        make(wine, rates=(0.1, 0.5), seeds=1).init(), 3
    )
    alone = make(wine, rates=(0.5,), seeds=1)
    replicas, _ = alone.epoch(alone.init(), 3)
    for one, two in zip(
        jax.tree.leaves(replicas.params), jax.tree.leaves(both.params), strict=True
    ):
        np.testing.assert_allclose(one[0], two[1], rtol=1e-4, atol=1e-6)


def test_accuracy_is_that_of_the_network(wine):
    trainer = make_trainer(
        lambda rate: neat(rate, measure=True),
        wine,
        seeds=1,
        rates=(0.1,),
        batch_size=32,
    )
    params = trainer.init().params
    zeros = jax.tree.map(lambda x: 0 * x, params)
    share = np.mean(wine.test.y == 0)  # equal logits: argmax names the first class
    np.testing.assert_allclose(trainer.accuracy(zeros, wine.test), [share], rtol=1e-6)


def test_measures_are_required(wine):
    trainer = make_trainer(
        lambda rate: optax.sgd(rate), wine, seeds=1, rates=(0.1,), batch_size=32
    )
    with pytest.raises(ValueError, match="must hold measures"):
        trainer.epoch(trainer.init(), 0)
