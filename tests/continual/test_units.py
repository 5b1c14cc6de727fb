"""Layers that feed one another, and those that only look like it."""

import numpy as np
import optax
import pytest

import neat_optax as neo
from layer_chains import still, train


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            # Two layers of 8 units each, concatenated before the next one.
            {"first": {"kernel": zeros(3, 8)}, "head": {"kernel": zeros(16, 2)}},
            r"^`layers` must be in the order in which they feed one another, got "
            r"'head' with a kernel of shape \(16, 2\) after 'first' with 8 units\.$",
        ),
        (
            # Four layers under one name, as nn.scan stacks them.
            {
                "first": {"kernel": zeros(4, 8, 8), "bias": zeros(4, 8)},
                "head": {"kernel": zeros(8, 2)},
            },
            r"^`layers` must be Dense and Conv layers with a bias of shape \[units\], "
            r"got 'first' with a bias of shape \(4, 8\) beside a kernel of shape "
            r"\(4, 8, 8\)\.$",
        ),
    ],
)
def test_layers_that_only_look_like_a_chain(params, message):
    tx = neo.continual.reset_dormant(optax.sgd(0.1), ("first", "head"))
    with pytest.raises(ValueError, match=message):
        tx.init(params)


def test_units_that_feed_two_heads_leave_both():
    """As a trunk with an actor and a critic; the actor has a hidden layer too."""
    rng = np.random.default_rng(2)
    draw = lambda *shape: rng.normal(size=shape).astype("f4")  # noqa: E731
    sizes = {"trunk": (3, 4), "actor": (4, 5), "policy": (5, 2), "critic": (4, 1)}
    params = {n: {"kernel": draw(*s), "bias": draw(s[1])} for n, s in sizes.items()}
    layers = {"trunk": ("actor", "critic"), "actor": "policy"}
    tx = neo.continual.reset_dormant(optax.sgd(0.1, 0.9), layers, every=1)
    activity = {"trunk": np.float32([1, 0, 1, 1]), "actor": np.float32([1, 1, 1, 0, 1])}
    new, _ = train(tx, params, 1, activity, still)[0]
    gone = {name: np.zeros(sizes[name], bool) for name in sizes}
    gone["actor"][1] = gone["critic"][1] = gone["policy"][3] = True
    drawn = {name: np.zeros(sizes[name], bool) for name in sizes}
    drawn["trunk"][:, 1] = drawn["actor"][:, 3] = True
    for name in sizes:
        before, after = params[name]["kernel"], new[name]["kernel"]
        np.testing.assert_array_equal(after == 0, gone[name])
        np.testing.assert_array_equal(after != before, gone[name] | drawn[name])
    assert new["trunk"]["bias"][1] == new["actor"]["bias"][3] == 0
