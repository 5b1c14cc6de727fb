"""What optax's wrappers around an aggregator, and optimizers before it, are told."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import aggregators

PARAMS = {"w": np.ones(2, np.float32), "frozen": np.ones((3, 2), np.float32)}
GRADS = jax.tree.map(lambda p: np.ones((4, *p.shape), np.float32), PARAMS)
RIGHT = optax.chain(aggregators.upgrad(), optax.sgd(0.1))
AGGREGATORS = {
    "weighting": aggregators.upgrad(),
    "coordinates": aggregators.trimmed_mean(1),
    "contest": neo.player_neat_correction(),
    "averages": aggregators.m_config(num_players=4),
}


def partition(tx):
    labels = {"w": "trained", "frozen": "frozen"}
    return optax.partition({"trained": tx, "frozen": optax.set_to_zero()}, labels)


def masked(tx):
    return optax.masked(tx, {"w": True, "frozen": False})


def often(_):
    return True


AROUND = {
    "MultiSteps": lambda tx: optax.MultiSteps(tx, 2).gradient_transformation(),
    "apply_if_finite": lambda tx: optax.apply_if_finite(tx, 3),
    "conditionally_transform": lambda tx: optax.conditionally_transform(tx, often),
    "conditionally_mask": lambda tx: optax.conditionally_mask(tx, often),
    "flatten": optax.flatten,
    "mechanize": optax.contrib.mechanize,
    "sam": lambda tx: optax.contrib.sam(tx, optax.sgd(0.1)),
}


@pytest.mark.parametrize("name", AGGREGATORS)
@pytest.mark.parametrize("around", [partition, masked])
def test_what_leaves_parameters_out_is_refused(name, around):
    tx = around(optax.chain(AGGREGATORS[name], optax.sgd(0.1)))
    with pytest.raises(ValueError, match="must not stand around an aggregator, got"):
        tx.init(PARAMS)


@pytest.mark.parametrize("name", AROUND)
def test_what_expects_one_shape_is_refused_by_name(name):
    match = f"^`{name}` must not stand around an aggregator, whose .* write "
    with pytest.raises(ValueError, match=match):
        AROUND[name](RIGHT).init(PARAMS)


def test_states_that_were_made_elsewhere_are_refused_in_the_step():
    tx = optax.apply_if_finite(RIGHT, 3)
    state = optax.apply_if_finite(optax.sgd(0.1), 3).init(PARAMS)
    with pytest.raises(ValueError, match=r"^`apply_if_finite` must not"):
        jax.eval_shape(tx.update, GRADS, state, PARAMS)


@pytest.mark.parametrize(
    "chain",
    [
        optax.chain,
        lambda *parts: optax.named_chain(*zip("ab", parts, strict=True)),
    ],
    ids=["chain", "named"],
)
def test_an_optimizer_before_an_aggregator_is_refused(chain):
    tx = chain(optax.adam(0.1), aggregators.upgrad())
    state = tx.init(PARAMS)
    with (
        jax.numpy_rank_promotion("allow"),
        pytest.raises(ValueError, match=r"before it, with ScaleByAdamState: write opt"),
    ):
        jax.eval_shape(tx.update, GRADS, state, PARAMS)


@pytest.mark.parametrize(
    "before",
    [
        optax.clip_by_global_norm(1.0),
        optax.scale_by_learning_rate(0.1),
        optax.scale_by_schedule(lambda step: 0.1 * step),
        aggregators.per_player(optax.adam(0.1), num_players=4),
    ],
)
def test_what_keeps_no_memory_or_one_of_each_player_may_stand_before(before):
    tx = optax.chain(before, RIGHT)
    assert shapes_after(tx) == jax.tree.map(jnp.shape, PARAMS)


@pytest.mark.parametrize(
    "around",
    [
        lambda tx: optax.masked(tx, {"w": True, "frozen": True}),
        lambda tx: optax.chain(optax.freeze({"w": False, "frozen": True}), tx),
        lambda tx: neo.aggregate_shared(tx, {"w": True, "frozen": False}),
        lambda tx: optax.inject_hyperparams(
            lambda rate: optax.chain(tx, optax.scale(rate))
        )(0.1),
        lambda tx: optax.chain(tx, optax.apply_if_finite(optax.adam(0.1), 3)),
        lambda tx: optax.chain(tx, partition(optax.adam(0.1))),
        lambda tx: optax.contrib.schedule_free(tx, 0.1),
        optax.contrib.split_real_and_imaginary,
    ],
    ids=["all", "freeze", "shared", "inject", "finite", "partition", "free", "complex"],
)
def test_what_fits_is_left_alone(around):
    assert shapes_after(around(RIGHT)) == jax.tree.map(jnp.shape, PARAMS)


def shapes_after(tx):
    updates, _ = jax.eval_shape(tx.update, GRADS, tx.init(PARAMS), PARAMS)
    return jax.tree.map(jnp.shape, updates)
