"""Transformations of players on factored gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import programs
import running
from neat_optax import aggregators
from properties import assert_trees_close

LOSS, PARAMS, ROWS = programs.FACTORED["dense layers"]
P = programs.PLAYERS
TAKERS = {
    "upgrad": aggregators.upgrad(num_players=P, monitor=True),
    "mgda of each leaf": aggregators.mgda(scope=neo.per_leaf),
    "neat": neo.player_neat_correction(0.5),
    "monitored neat": neo.player_neat_correction(0.5, num_players=P, monitor=True),
    "neat of all": neo.player_neat_correction(
        0.5, opponent=neo.opponents.batch_mean(), scope=neo.whole_tree
    ),
    "pairwise neat": neo.player_neat_correction(0.5, opponent=neo.opponents.pairwise()),
    "gls": aggregators.gls(),
    "conflict of the update": neo.monitor_update_conflict(
        optax.chain(aggregators.mean(), optax.adam(0.1)), num_players=P
    ),
}
DIFFERENTIATED = {"neat": TAKERS["neat"], "mgda": aggregators.mgda()}
FORMERS = {
    "trimmed_mean": aggregators.trimmed_mean(1),
    "per_player": optax.chain(
        aggregators.per_player(optax.clip(0.01), num_players=P), aggregators.mean()
    ),
    "accumulate": neo.accumulate_players(aggregators.mean(), 1, num_players=P),
    "shared": neo.aggregate_shared(
        aggregators.mgda(), {"in": True, "bias": True, "out": False}
    ),
    "hold_absent": neo.hold_absent(
        aggregators.mean(), jax.tree.map(lambda _: np.ones(P, bool), PARAMS)
    ),
}


def updates(factored, names):
    """One update of each."""
    of_each = neo.value_and_example_grads(LOSS, factored=factored)
    losses, gradients = of_each(PARAMS, *ROWS)
    found = {}
    for name in names:
        tx = (TAKERS | FORMERS)[name]
        found[name] = tx.update(gradients, tx.init(PARAMS), PARAMS, losses=losses)
    return found


SOME = ("pairwise neat", "neat", "trimmed_mean")
REST = tuple(name for name in TAKERS | FORMERS if name not in SOME)


@pytest.mark.parametrize("names", [SOME, pytest.param(REST, marks=pytest.mark.slow)])
def test_updates_are_those_of_explicit_gradients(names):
    found = jax.jit(lambda: [updates(kind, names) for kind in (True, False)])()
    assert_trees_close(*jax.device_get(found), rtol=1e-4, atol=2e-6)


def trained(factored, tx, params, rows, rate=0.1):
    """Parameters after three steps in one loop."""
    of_each = neo.value_and_example_grads(LOSS, factored=factored)

    def step(carry, _):
        params, state = carry
        _, gradients = of_each(params, *rows)
        updates, state = tx.update(gradients, state, params)
        return (jax.tree.map(lambda p, u: p - rate * u, params, updates), state), None

    return jax.lax.scan(step, (params, tx.init(params)), None, 3)[0][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["upgrad", "neat"])
def test_many_seeds_train_at_once(name):
    """Each with its own parameters and examples."""
    seeds = np.arange(4, dtype=np.float32)

    @running.quick_jit
    def found():
        def of_seed(seed, factored):
            params = jax.tree.map(lambda x: x * (1 + 0.1 * seed), PARAMS)
            rows = [x * jnp.cos(seed) for x in ROWS]
            return trained(factored, TAKERS[name], params, rows)

        return [
            jax.vmap(lambda seed, f=f: of_seed(seed, f))(seeds) for f in (True, False)
        ]

    assert_trees_close(*jax.device_get(found()), rtol=1e-4, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neat", "mgda"])
def test_derivatives_pass_through_steps(name):
    """Of what is reached, by where it began, by the examples, and by the step size."""

    @running.quick_jit
    def found():
        def reached(params, rows, rate, factored):
            after = trained(factored, DIFFERENTIATED[name], params, rows, rate)
            return jnp.mean(jax.vmap(LOSS, (None, 0))(after, *rows))

        of = jax.grad(reached, (0, 1, 2))
        return [of(PARAMS, ROWS, jnp.float32(0.1), kind) for kind in (True, False)]

    found = jax.device_get(found())
    assert all(np.abs(x).max() > 1e-4 for x in jax.tree.leaves(found))
    assert_trees_close(*found, rtol=2e-4, atol=1e-5)


CHANGERS = {
    "scale": optax.scale(-1),
    "scale_by_schedule": optax.scale_by_schedule(lambda _: 0.5),
    "scale_by_learning_rate": optax.scale_by_learning_rate(lambda _: 0.5),
    "clip": optax.clip(0.1),
    "clip_by_global_norm": optax.clip_by_global_norm(1.0),
    "clip_by_block_rms": optax.clip_by_block_rms(1.0),
    "centralize": optax.centralize(),
    "scale_by_sign": optax.scale_by_sign(),
    "sgd": optax.sgd(0.1),
    "a mask": optax.stateless(
        lambda updates, _: jax.tree.map(lambda g: g * (g > 0), updates)
    ),
    "a factor of its dtype": optax.stateless(
        lambda updates, _: jax.tree.map(
            lambda g: jnp.asarray(0.5, g.dtype) * g, updates
        )
    ),
    "rounding": optax.stateless(
        lambda updates, _: jax.tree.map(
            lambda g: g.astype(jnp.bfloat16).astype(g.dtype), updates
        )
    ),
}


@pytest.mark.parametrize("name", CHANGERS)
def test_nothing_calculates_with_factors(name):
    of_each = neo.value_and_example_grads(LOSS, factored=True)
    tx = optax.chain(CHANGERS[name], aggregators.mean())
    with pytest.raises((TypeError, ValueError, NotImplementedError)):
        jax.eval_shape(
            lambda: tx.update(of_each(PARAMS, *ROWS)[1], tx.init(PARAMS), PARAMS)
        )


def test_the_error_says_what_they_are():
    of_each = neo.value_and_example_grads(LOSS, factored=True)
    with pytest.raises(TypeError, match="factored gradients, which only aggregators"):
        jax.eval_shape(lambda: jax.tree.map(lambda g: 2 * g, of_each(PARAMS, *ROWS)[1]))
