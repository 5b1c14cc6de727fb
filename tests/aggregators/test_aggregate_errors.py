"""The exact sentences of `aggregate`."""

import re

import jax
import numpy as np
import pytest

import neat_optax as neo
from neat_optax import aggregators

G = {
    "a": np.ones((3, 4, 2), np.float32),
    "b": np.ones((3, 5), np.float32),
}
PARAMS = jax.tree.map(lambda x: x[0], G)


def reduced(tx, g, **extra):
    one = jax.tree.map(lambda x: x[0], g)
    return jax.eval_shape(tx.update, g, tx.init(one), **extra)[0]


ERRORS = [
    ({"a": G["a"], "b": G["b"][:2]}, "got shapes (3, 4, 2), (2, 5)."),
    ({"a": G["a"], "b": np.ones((), np.float32)}, "got shapes (3, 4, 2), ()."),
    ({"a": G["a"][:0]}, "got shapes (0, 4, 2)."),
]


@pytest.mark.parametrize(("g", "end"), ERRORS)
def test_ragged_or_missing_player_axis(g, end):
    start = "`updates` must have a leading player axis of one size on every leaf, "
    tx = aggregators.mean()
    with pytest.raises(ValueError, match=re.escape(start + end)):
        tx.update(g, tx.init({k: np.zeros(2, np.float32) for k in g}))


def test_gradients_without_the_axis_are_compared_with_the_parameters():
    tx = aggregators.mean()
    with pytest.raises(ValueError, match="`updates of one player` must have the shape"):
        tx.update(PARAMS["a"], tx.init(PARAMS["a"]), PARAMS["a"])


def test_other_errors():
    def says(message, function, *args, **kwargs):
        with pytest.raises(ValueError, match=re.escape(message)):
            function(*args, **kwargs)

    says(
        "`losses` must be passed to update for gls, got None: call "
        "tx.update(updates, state, params, losses=losses), or apply_gradients of a "
        "PlayerTrainState.",
        lambda: reduced(aggregators.gls(), G),
    )
    says(
        "`updates` must have 2 players, as `num_players` says, got 3.",
        lambda: reduced(aggregators.mean(num_players=2), G),
    )
    says(
        "`num_players` must be given for monitor=True, got None.",
        lambda: aggregators.mean(monitor=True),
    )
    says(
        "`present` must have one entry for each of the 3 players, got shape (2,).",
        lambda: reduced(aggregators.mean(), G, present=np.ones(2, bool)),
    )
    says("`scope` must be of type Scope, got 3.", lambda: aggregators.mean(scope=3))
    says(
        "`updates` must have floating or complex leaves, got int32",
        lambda: aggregators.mean().update(np.ones((2, 3), np.int32), None),
    )


@pytest.mark.parametrize(
    ("rule", "got"),
    [
        (lambda gramian: gramian, "shape (3, 3)"),
        (lambda gramian: gramian[0, 0], "shape ()"),
        (lambda gramian: gramian[:2, 0], "shape (2,)"),
        (lambda gramian: list(gramian[0]), "list, which is no array,"),
        (lambda gramian: (gramian[0], ()), "tuple, which is no array,"),
        (lambda _: None, "NoneType, which is no array,"),
        (lambda gramian: 1j * gramian[0], "dtype complex64"),
    ],
)
@pytest.mark.parametrize("scope", [neo.whole_tree, neo.per_leaf], ids=["tree", "leaf"])
def test_a_rule_of_ones_own_must_return_one_weight_for_each_player(rule, got, scope):
    message = (
        "`weighting` must return one weight for each of the 3 players, got "
        f"{got} from <lambda>."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        reduced(aggregators.aggregate(rule, scope=scope), G)
