import jax
import numpy as np
import optax
import pytest

import running
from neat_optax.conflict._neat import neat
from neat_optax.experiments.candidates.candidate import nothing_recorded
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.data import datasets
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import Task, make_task
from neat_optax.experiments.runs.loop import make_trainer


@pytest.fixture(scope="module")
def wine():
    return datasets.load("wine")


def part(seed, size):
    """Three classes that a line through each pair of features tells apart."""
    x = np.random.default_rng(seed).normal(size=(size, 3)).astype(np.float32)
    return Split(x, np.argmax(x, axis=1).astype(np.int32))


DATA = Data(part(0, 96), part(1, 40), part(2, 40))


def logits(params, x):
    return x @ params["last"]["kernel"] + params["last"]["bias"][None]


def start(rngs):
    kernel = jax.random.normal(rngs.params(), (3, 3))
    return {"last": {"kernel": kernel, "bias": np.zeros(3, np.float32)}}


def loss(params, batch):
    losses = optax.softmax_cross_entropy_with_integer_labels
    return losses(logits(params, batch.x), batch.y).mean()


def gradients(params, batch):
    value, gradient = jax.value_and_grad(loss)(params, batch)
    return {"losses": value}, gradient


def of_groups(params, batch):
    """Four players, in one batch."""
    groups = jax.tree.map(lambda x: x.reshape(4, -1, *x.shape[1:]), batch)
    values, each = jax.vmap(jax.value_and_grad(loss), (None, 0))(params, groups)
    return {"losses": values}, each


def scores(params, split):
    return {"accuracy": (logits(params, split.x).argmax(axis=-1) == split.y).mean()}


LINEAR = Task(
    init=start,
    gradients=gradients,
    scores=scores,
    activity=lambda *_: {},
    layers=(),
    num_players=None,
    aggregate=lambda aggregator: aggregator,
)
PLAYERS = LINEAR._replace(gradients=of_groups, num_players=4)
"""The same, small enough to be compiled many times."""


def make(rates=(0.1, 0.5), seeds=2, build=None, task=LINEAR, data=DATA, **options):
    return make_trainer(
        build or (lambda rate, _: neat(rate, monitor=True)),
        task,
        data,
        seeds=seeds,
        rates=rates,
        batch_size=32,
        **{"measures": OPTIMIZERS.measures, **options},
    )


def sgd(rate, _):
    return optax.sgd(rate)


def test_training_learns_and_measures():
    trainer = make(rates=(1.0, 3.0))
    replicas = trainer.init()
    first = None
    for number in range(20):
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


@pytest.mark.slow
def test_what_is_served_is_scored():
    """Parameters of zero are right where the first class is."""
    served = lambda _, params: jax.tree.map(jax.numpy.zeros_like, params)  # noqa: E731
    trainer = make(build=sgd, measures=nothing_recorded, served=served)
    replicas, measures = trainer.epoch(trainer.init(), 0)
    first = np.mean(DATA.validation.y == 0)
    np.testing.assert_allclose(measures["validation_accuracy"], first, rtol=1e-6)
    scores = trainer.scores(trainer.served(replicas), DATA.validation)
    np.testing.assert_allclose(scores["accuracy"], first, rtol=1e-6)


def test_replicas_pair_rates_with_seeds_and_start_alike():
    params = make().init().params
    kernel = np.asarray(params["last"]["kernel"])
    assert len(kernel) == 4
    np.testing.assert_array_equal(kernel[0], kernel[2])  # the same seed, another rate
    assert not np.array_equal(kernel[0], kernel[1])


def test_each_epoch_has_an_order_of_its_own():
    """From one start, epochs of different numbers end in different places."""
    trainer = make(build=sgd, rates=(0.5,), seeds=1, measures=lambda _: {})
    ends = [
        np.asarray(trainer.epoch(trainer.init(), number)[0].params["last"]["kernel"])
        for number in (0, 1, 0)
    ]
    assert not np.array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])


@pytest.mark.slow
@running.quickly()
def test_an_epoch_is_the_same_alone_and_among_replicas():
    pair = make(rates=(0.1, 0.5), seeds=1)
    both, _ = pair.epoch(pair.init(), 3)
    alone = make(rates=(0.5,), seeds=1)
    replicas, _ = alone.epoch(alone.init(), 3)
    for one, two in zip(
        jax.tree.leaves(replicas.params), jax.tree.leaves(both.params), strict=True
    ):
        np.testing.assert_allclose(one[0], two[1], rtol=1e-4, atol=1e-6)


def test_scores_are_those_of_the_network():
    trainer = make(rates=(0.1,), seeds=1)
    like = trainer.like().params
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
    share = np.mean(DATA.test.y == 0)  # equal logits: argmax names the first class
    scores = trainer.scores(zeros, DATA.test)
    np.testing.assert_allclose(scores["accuracy"], [share], rtol=1e-6)


def test_measures_are_required():
    trainer = make(build=sgd, rates=(0.1,), seeds=1)
    with pytest.raises(ValueError, match="must hold measures"):
        jax.eval_shape(trainer.epoch, trainer.like(), 0)


def mean_of_players(rate, _):
    mean = optax.stateless(lambda u, _: jax.tree.map(lambda g: g.mean(0), u))
    return optax.chain(mean, optax.sgd(rate))


def trains_like_the_batch(plain, players, number_of_epochs=2):
    for number in range(number_of_epochs):
        one, expected = plain.epoch(plain.init(), number)
        two, found = players.epoch(players.init(), number)
        np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-4)
        for a, b in zip(
            jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@running.quickly()
def test_the_mean_of_players_trains_like_the_batch():
    """One by one or side by side, with players or without: the same numbers."""
    options = {"rates": (0.05, 0.1), "measures": lambda _: {}}
    plain = make(build=sgd, **options)
    players = make(build=mean_of_players, task=PLAYERS, in_turn=True, **options)
    trains_like_the_batch(plain, players)


@pytest.mark.slow
@running.quickly()
def test_the_mean_of_players_trains_the_network_like_the_batch(wine):
    options = {"rates": (0.05, 0.1), "measures": lambda _: {}, "data": wine}
    plain = make(build=sgd, task=make_task(wine), **options)
    task = make_task(wine, "examples", 4)
    players = make(build=mean_of_players, task=task, in_turn=True, **options)
    trains_like_the_batch(plain, players)


def test_losses_reach_the_optimizer():
    seen = []

    def update(updates, state, params=None, **extra):
        del params
        seen.append(extra["losses"].shape)
        return jax.tree.map(lambda g: -0.1 * g.mean(0), updates), state

    def build(*_):
        return optax.GradientTransformationExtraArgs(
            lambda _: optax.EmptyState(), update
        )

    trainer = make(build=build, task=PLAYERS, measures=lambda _: {})
    jax.eval_shape(trainer.epoch, trainer.like(), 0)
    assert set(seen) == {(4,)}


def test_each_seed_has_a_key_of_its_own_for_all_epochs():
    """And the same one at every rate."""

    def build(_, key):
        drawn = jax.random.uniform(key)
        return optax.stateless(lambda u, _: jax.tree.map(lambda g: 0 * g + drawn, u))

    trainer = make(build=build, measures=lambda _: {}, in_turn=True)
    start = jax.tree.map(np.array, trainer.init().params)
    replicas, _ = trainer.epoch(trainer.init(), 0)
    moved = np.subtract(replicas.params["last"]["bias"], start["last"]["bias"])[:, 0]
    np.testing.assert_allclose(moved[:2], moved[2:], rtol=1e-6)
    assert moved[0] != moved[1]
    first = np.array(replicas.params["last"]["bias"])
    replicas, _ = trainer.epoch(replicas, 1)
    again = np.subtract(replicas.params["last"]["bias"], first)[:, 0]
    np.testing.assert_allclose(again, moved, rtol=1e-5)


@pytest.mark.slow
def test_parameters_are_measured_at_the_end_of_an_epoch():
    def largest(params, validation):
        kernel = abs(params["last"]["kernel"])
        return {"largest": kernel.max(), "count": len(validation.y)}

    trainer = make(at_end=largest)
    replicas, measures = trainer.epoch(trainer.init(), 0)
    kernels = np.abs(replicas.params["last"]["kernel"])
    np.testing.assert_allclose(measures["largest"], kernels.max(axis=(1, 2)))
    np.testing.assert_array_equal(measures["count"], len(DATA.validation.y))


def test_an_epoch_is_trained_validated_and_tested_on_what_is_seen():
    """A view that hides the labels leaves nothing to learn but one class."""

    def blind(seed, number, split):
        del seed
        return split._replace(y=0 * split.y + number)

    trainer = make(view=blind, seeds=1, rates=(20.0,))
    replicas, measures = trainer.init(), None
    for _ in range(4):
        replicas, measures = trainer.epoch(replicas, 2)
    assert measures["validation_accuracy"] == measures["test_accuracy"] == 1
