"""Handing the gradient to what stands last in a chain."""

import re

import jax
import numpy as np
import optax
import pytest

import properties
from neat_optax import pass_gradient
from neat_optax.sparsity import prune_to_sparsity, saliency
from running import quick_jit

W = {"w": np.float32([[1, 2]]), "n": np.ones(2, np.float32)}
G = {"w": np.float32([[3, 1]]), "n": np.zeros(2, np.float32)}


def record():
    """Keeps what it was given as `grad=` and as an update."""

    def update(updates, state, params=None, *, grad=None, other=None, **extra_args):
        del state, params, extra_args
        return updates, {"grad": grad, "updates": updates, "other": other}

    start = {"grad": None, "updates": None, "other": None}
    return optax.GradientTransformationExtraArgs(lambda _: start, update)


def after(tx, **extra):
    """The parameters after one step, and the state."""
    updates, state = tx.update(G, tx.init(W), W, **extra)
    return optax.apply_updates(W, updates), state


def test_the_last_member_sees_the_raw_gradient():
    _, (_, seen) = after(pass_gradient(optax.chain(optax.scale(-2.0), record())))
    properties.assert_trees_equal(seen["grad"], G)
    properties.assert_trees_equal(seen["updates"], jax.tree.map(lambda g: -2 * g, G))


def test_what_the_caller_passes_as_gradient_is_replaced_and_the_rest_handed_on():
    _, seen = after(pass_gradient(record()), grad=W, other=5)
    properties.assert_trees_equal(seen["grad"], G)
    assert seen["other"] == 5


def test_of_two_the_inner_one_counts():
    chain = optax.chain(optax.scale(-2.0), pass_gradient(record()))
    _, (_, seen) = after(pass_gradient(chain))
    properties.assert_trees_equal(seen["grad"], jax.tree.map(lambda g: -2 * g, G))


def test_the_state_is_that_of_the_chain():
    chain = optax.chain(optax.adam(0.1), optax.scale(1.0))
    tx = pass_gradient(chain)
    properties.assert_trees_equal(tx.init(W), chain.init(W))
    properties.assert_trees_equal(after(tx), after(chain))


def test_members_without_extra_arguments_are_left_alone():
    plain = optax.GradientTransformation(lambda _: (), _unchanged)
    properties.assert_trees_equal(after(pass_gradient(plain)), after(plain))


def _unchanged(updates, state, params=None):
    del params
    return updates, state


PRUNE = prune_to_sparsity(0.5, score=saliency)
WAYS = {
    "alone": PRUNE,
    "chain": optax.chain(optax.sgd(0.0), PRUNE),
    "chain in chain": optax.chain(optax.sgd(0.0), optax.chain(optax.identity(), PRUNE)),
    "named_chain": optax.named_chain(("sgd", optax.sgd(0.0)), ("prune", PRUNE)),
    "inject_hyperparams": optax.chain(
        optax.sgd(0.0),
        optax.inject_hyperparams(prune_to_sparsity)(lambda _: 0.5, score=saliency),
    ),
    "masked": optax.chain(
        optax.sgd(0.0),
        optax.masked(PRUNE, {"w": True, "n": False}, mask_compatible_extra_args=True),
    ),
    "partition": optax.chain(
        optax.sgd(0.0),
        optax.partition(
            {"prune": PRUNE, "leave": optax.identity()},
            {"w": "prune", "n": "leave"},
            mask_compatible_extra_args=True,
        ),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_gradient_reaches_a_score_in(way):
    """|1 * 3| is more than |2 * 1|."""
    tx = pass_gradient(WAYS[way])

    @quick_jit
    def step(gradient, params):
        before = tx.init(params)
        updates, state = tx.update(gradient, before, params)
        return optax.apply_updates(params, updates)["w"], before, state

    moved, before, state = step(G, W)
    np.testing.assert_array_equal(np.asarray(moved) != 0, [[True, False]])
    properties.assert_same_types(state, before)


def test_masked_must_be_told_to_mask_the_gradient():
    tx = pass_gradient(optax.masked(PRUNE, {"w": True, "n": False}))
    message = (
        "`grad` must have the tree structure of `params`, got another array at ['n']."
    )
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        tx.update(G, tx.init(W), W)


def test_without_it_the_score_says_what_is_missing():
    message = (
        r"^`grad` must be passed to update for the score saliency, got None; "
        r"wrap the chain in pass_gradient\.$"
    )
    with pytest.raises(ValueError, match=message):
        after(optax.chain(optax.sgd(0.1), PRUNE))
