"""Flax's `TrainState`, in and out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState

import small_nets
from neat_optax import aggregators, training
from small_nets import cross_entropy

TX = optax.adam(0.1)
DATA = small_nets.X, small_nets.Y


class State(TrainState):
    """As Flax's guides have it for batch normalization, with an average."""

    batch_stats: Any
    ema: Any = None


def begin(**fields):
    model = small_nets.linen_model()
    return State.create(
        apply_fn=small_nets.LinenNet().apply,
        params=model.params,
        tx=TX,
        batch_stats=model.extra["batch_stats"],
        **fields,
    )


def train(state, **options):
    step = training.train_step(state, small_nets.linen_loss, **options)
    return step, training.fit(step, DATA, batch_size=4, epochs=1)


def test_a_step_takes_and_gives_flaxs_state():
    state = begin()
    step = training.train_step(state, small_nets.linen_loss)
    new, _ = jax.eval_shape(step.update, state, small_nets.BATCH)
    assert (type(new), new.tx) == (State, TX)
    assert jax.tree.structure(new) == jax.tree.structure(state)


@pytest.mark.slow
def test_its_step_is_that_of_the_parts():
    state = begin()
    step = training.train_step(state, small_nets.linen_loss)
    new, _ = small_nets.compiled(step.update)(state, small_nets.BATCH)
    plain = training.train_step(small_nets.linen_model(), small_nets.linen_loss, TX)
    other, _ = small_nets.compiled(plain.update)(plain.init(), small_nets.BATCH)
    assert new.step == 1
    small_nets.same(new.params, other.params)
    small_nets.same(new.opt_state, other.opt_state)
    small_nets.same(new.batch_stats, other.extra["batch_stats"])


@pytest.mark.slow
def test_fit_returns_the_state_and_goes_on_from_it(tmp_path):
    state = begin()
    options = {"batch_size": 4, "epochs": 2}
    step = training.train_step(state, small_nets.linen_loss)
    new, _ = training.fit(step, DATA, checkpoint=tmp_path, **options)
    plain = training.train_step(small_nets.linen_model(), small_nets.linen_loss, TX)
    other, _ = training.fit(plain, DATA, **options)
    assert (type(new), new.step) == (State, 10)
    small_nets.same(new.params, other.params)
    found = training.load_checkpoint(tmp_path, step.init())
    small_nets.same(found.batch_stats, other.extra["batch_stats"])
    more, _ = training.fit(plain, DATA, state=new, batch_size=4, epochs=1)
    assert (type(more), more.step) == (State, 15)
    scores = training.evaluate(step.model, more, [DATA], accuracy)
    assert 0 <= scores["accuracy"] <= 1


def accuracy(model, batch):
    return {"accuracy": jnp.argmax(model(batch[0]), axis=-1) == batch[1]}


@pytest.mark.slow
def test_the_average_is_a_field():
    _, (new, _) = train(begin(ema=small_nets.linen_model().params), ema=0.5)
    assert not np.array_equal(*map(kernel, (new.ema, new.params)))
    with pytest.raises(ValueError, match="`state` must have a field ema, as large as"):
        train(begin(), ema=0.5)


def kernel(params):
    return params["Dense_0"]["kernel"]


def test_another_chain_begins_anew():
    state = begin()
    step = training.train_step(state, small_nets.linen_loss, optax.sgd(1.0))
    first = jax.eval_shape(step.init)
    assert jax.tree.leaves(first.opt_state) == []
    assert jax.eval_shape(step.update, first, small_nets.BATCH)[0].tx is first.tx


def test_a_step_of_players_takes_and_gives_it():
    """With the state's own chain, in which the aggregator is."""
    chain = optax.chain(aggregators.mean(), TX)
    state = begin().replace(tx=chain, opt_state=chain.init(begin().params))
    players = training.examples()
    step = training.player_train_step(state, of_one, players=players)
    new, logs = jax.eval_shape(step.update, jax.eval_shape(step.init), small_nets.BATCH)
    assert (type(new), new.tx, list(logs)) == (State, chain, ["loss"])
    assert jax.tree.structure(new) == jax.tree.structure(state)
    with pytest.raises(ValueError, match="`weighting` must be None with a TrainState"):
        training.player_train_step(
            state, of_one, players=players, weighting=aggregators.upgrad_weights
        )


def of_one(model, batch):
    return cross_entropy(model(batch[0]), batch[1])


def test_a_state_without_a_module_is_named():
    state = TrainState.create(apply_fn=None, params={"w": np.ones(2)}, tx=TX)
    with pytest.raises(ValueError, match="`apply_fn` must be the apply of a linen mod"):
        training.train_step(state, small_nets.loss)
