"""Transformations of players on factored gradients."""

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo
import programs
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


@pytest.mark.parametrize("name", ["upgrad", "neat", "trimmed_mean"])
@pytest.mark.parametrize("changed", [optax.scale(-1), optax.clip(0.1)])
def test_factors_that_were_calculated_with_are_refused(name, changed):
    of_each = neo.value_and_example_grads(LOSS, factored=True)
    tx = optax.chain(changed, (TAKERS | FORMERS)[name])
    with pytest.raises(ValueError, match="factors that something has calculated with"):
        jax.eval_shape(
            lambda: tx.update(of_each(PARAMS, *ROWS)[1], tx.init(PARAMS), PARAMS)
        )
